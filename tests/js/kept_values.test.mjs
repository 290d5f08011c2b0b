import assert from "node:assert/strict";
import { test } from "node:test";
import { KeptValues } from "../../web/js/kept_values.js";

/** Sends one value of one widget; what the server gets. */
function send(kept, sent, written, [path, name] = ["3", "text"]) {
  const output = { [path]: { inputs: { [name]: sent, model: ["1", 0] } } };
  kept.apply(output, (at, input) => (at === path && input === name ? written : null));
  assert.deepEqual(output[path].inputs.model, ["1", 0]);
  return output[path].inputs[name];
}

const prompt = (value) => ({ value, type: "customtext", dynamic: true });

test("a prompt keeps what it came to until it is edited, or forgotten", () => {
  const kept = new KeptValues();
  assert.equal(send(kept, "a cat", prompt("a {cat|dog}")), "a cat");
  assert.equal(send(kept, "a dog", prompt("a {cat|dog}")), "a cat");
  assert.equal(send(kept, "a dog", prompt("a {cat|dog} ")), "a dog", "edited");
  assert.equal(send(kept, "a cat", prompt("a {cat|dog} ")), "a dog");
  assert.equal(send(kept, "plain", prompt("plain")), "plain");
  kept.clear();
  assert.equal(send(kept, "a cat", prompt("a {cat|dog} ")), "a cat");
});

test("prompts of other nodes and inputs are kept apart", () => {
  const kept = new KeptValues();
  const written = prompt("{cat|dog}");
  assert.equal(send(kept, "cat", written, ["3", "text"]), "cat");
  assert.equal(send(kept, "dog", written, ["12:3", "text"]), "dog");
  assert.equal(send(kept, "dog", written, ["3", "other"]), "dog");
  assert.equal(send(kept, "dog", written, ["3", "text"]), "cat");
});

test("other packs' random numbers, choices and wildcards are kept too", () => {
  for (const [value, type, first, second] of [
    [-1, "number", 71, 93],
    ["random", "combo", "euler", "heun"],
    ["a __bird__", "customtext", "a crow", "a tit"],
    [false, "toggle", true, false],
  ]) {
    const kept = new KeptValues();
    const written = { value, type, dynamic: false };
    assert.equal(send(kept, first, written), first);
    assert.equal(send(kept, second, written), first);
  }
});

test("what follows from other values, a camera or a canvas is made anew for each run", () => {
  for (const [value, type, first, second] of [
    ["%sampler.gamma_t%/%date%", "text", "2/today", "3/today"],
    ["", "WEBCAM", "one.png", "two.png"],
    ["old.png", "painter", "one.png", "two.png"],
    [0, "hidden", 1, 2],
    [undefined, "text", "host 1", "host 2"],
    ["x", "text", 1, 2],
    ["scene", "LOAD_3D", { image: 1 }, { image: 2 }],
    [null, "number", 1, 2],
    [NaN, "number", NaN, NaN],
  ]) {
    const kept = new KeptValues();
    for (const sent of [first, second]) assert.deepEqual(send(kept, sent, { value, type, dynamic: false }), sent);
  }
});

test("a value that the widget sends as it is follows every edit", () => {
  const kept = new KeptValues();
  for (const value of [1, 2, 1, 2]) assert.equal(send(kept, value, { value, type: "number", dynamic: false }), value);
});

test("nodes of any form are passed over", () => {
  const kept = new KeptValues();
  kept.apply({ 1: { inputs: undefined }, 2: { inputs: {} } }, () => null);
});

test("what Run came to is what Live keeps, until it is edited", () => {
  const kept = new KeptValues();
  const written = (text) => () => ({ value: text, type: "customtext", dynamic: true });
  kept.note({ 3: { inputs: { text: "cat" } } }, written("{cat|dog}"));
  assert.equal(send(kept, "dog", prompt("{cat|dog}")), "cat");
  kept.note({ 3: { inputs: { text: "dog" } } }, written("{cat|dog}"));
  assert.equal(send(kept, "cat", prompt("{cat|dog}")), "dog", "the newest Run");
  assert.equal(send(kept, "cat", prompt("{cat|dog}!")), "cat", "edited");
});
