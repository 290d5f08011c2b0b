import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { hintsOf, MODELS, ownValue, sidesOf, sidesUnder } from "../../web/js/wired_model.js";
import { HOSTILE } from "./hostile.mjs";
import { connect, graph, node } from "./graph.mjs";

const SOCKETS = ["model", "text", "semantic", "content", "tokenizer", "guidance", "edit", "regions", "negative"];
const NANO = "nano (built in)";

/** A sampler with some of its sockets connected. */
function sampler(connected = [], root = graph(), more = {}) {
  const made = node(root, "EchoGenSampler", { size: "auto", tau: 0, top_p: 0, top_k: 0, ...more }, SOCKETS);
  for (const name of connected) connect(root, node(root, `from ${name}`), 0, made, name);
  return made;
}

/** A sampler with a model of a loader. */
function withModel(preset, more = {}) {
  const made = sampler([], graph(), more);
  connect(made.graph, node(made.graph, "EchoGenLoadBundle", { preset }), 0, made, "model");
  return made;
}

for (const [connected, hints] of [
  ["text semantic content tokenizer", ""],
  ["text tokenizer", "no_subject"],
  ["semantic content tokenizer", "no_prompt"],
  ["tokenizer", "no_prompt_no_subject"],
  ["text content tokenizer", "no_semantic"],
  ["text semantic tokenizer", "no_content"],
  ["content tokenizer", "no_prompt no_semantic"],
  ["text semantic content", "no_tokenizer"],
  ["negative tokenizer", "no_subject"],
  ["negative semantic content tokenizer", ""],
  ["regions tokenizer", ""],
  ["text regions tokenizer", ""],
  ["regions content tokenizer", "no_semantic"],
  ["", "no_prompt_no_subject no_tokenizer"],
]) {
  test(`connected: ${connected || "nothing"}`, () => {
    assert.equal(hintsOf(sampler(connected.split(" ").filter(Boolean))).join(" "), hints);
  });
}

test("what comes from a muted node isn't connected, what comes through a reroute is", () => {
  const made = sampler(["text", "semantic", "content", "tokenizer"]);
  made.graph.nodes.find(({ type }) => type === "from text").mode = 2;
  assert.deepEqual(hintsOf(made), ["no_prompt"]);
  const other = sampler(["text", "semantic", "content"]);
  const [reroute, source] = [node(other.graph, "Reroute", {}, ["in"]), node(other.graph, "EchoGenLoadTokenizer")];
  connect(other.graph, source, 0, reroute, "in");
  connect(other.graph, reroute, 0, other, "tokenizer");
  assert.deepEqual(hintsOf(other), []);
});

test("scales follow the size and the model", () => {
  const counts = (preset, size = "auto") => sidesOf(withModel(preset, { size }))?.length;
  assert.deepEqual([NANO, "EchoGen-0.1B", "EchoGen-2B", "mine"].map((preset) => counts(preset)), [5, 7, 13, undefined]);
  assert.deepEqual(["0.06M", "0.25M", "0.60M", "1M"].map((size) => counts("EchoGen-2B", size)), [7, 10, 12, 13]);
  assert.equal(counts("mine", "0.25M"), 10, "whatever the model");
});

test("a connected edit sets the size", () => {
  const made = withModel("EchoGen-2B", { size: "0.06M" });
  const edit = node(made.graph, "EchoGenEditPicture", { size: "0.25M" });
  connect(made.graph, edit, 0, made, "edit");
  assert.equal(sidesOf(made).length, 10);
  edit.widgets[0].value = "auto";
  assert.equal(sidesOf(made).length, 13);
});

test("a schedule has the scales of its samplers, 13 if they differ or there are none", () => {
  const root = graph();
  const schedule = node(root, "EchoGenGuidanceSchedule", { gamma_t: 2 });
  assert.equal(sidesUnder(schedule).length, 13);
  const wire = (preset) => {
    const made = sampler([], root);
    connect(root, node(root, "EchoGenLoadBundle", { preset }), 0, made, "model");
    connect(root, schedule, 0, made, "guidance");
  };
  wire(NANO);
  wire(NANO);
  assert.equal(sidesUnder(schedule).length, 5);
  wire("EchoGen-2B");
  assert.equal(sidesUnder(schedule).length, 13);
  assert.equal(sidesUnder({}).length, 13, "a node that is in no graph");
});

test("0 stands for the model's own number, any other number for itself", () => {
  const [nano, unknown] = [withModel(NANO), withModel("mine")];
  assert.deepEqual(["tau", "top_p", "top_k", "seed"].map((name) => ownValue(nano, name)), [0.5, 0.97, undefined, undefined]);
  assert.deepEqual(ownValue(unknown, "tau"), NaN);
  assert.equal(ownValue(withModel("EchoGen-2B", { tau: 0.5 }), "tau"), undefined);
  assert.equal(ownValue(withModel("EchoGen-2B"), "tau"), 2);
});

test("whatever the widgets hold, nothing fails", () => {
  for (const value of HOSTILE) {
    const made = withModel(value, { size: value, tau: value });
    assert.ok([undefined, ...Object.values(MODELS).map(({ sides }) => sides)].includes(sidesOf(made)));
    assert.ok([undefined, NaN].includes(ownValue(made, "tau")));
    assert.equal(hintsOf(made).length, 2);
  }
});

test("the models are the loader's, with its defaults", () => {
  const expected = JSON.parse(readFileSync(new URL("../model_defaults.json", import.meta.url), "utf8"));
  const found = Object.entries(MODELS).map(([name, { gamma, presets, ...own }]) => {
    assert.deepEqual(presets.balanced, gamma);
    return [name, { gamma_t: gamma.t, gamma_i: gamma.i, ...own }];
  });
  assert.deepEqual(Object.fromEntries(found), expected);
});
