import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { SAMPLES, SamplePrompt } from "../../web/js/sample_prompt.js";
import { connect, graph, node } from "./graph.mjs";
import { HOSTILE } from "./hostile.mjs";

/** A workflow with a Reference Picture and a prompt. */
function workflow(prompt = "a teddy bear on a meadow", picture = "teddy_bear.png") {
  const root = graph();
  const reference = node(root, "EchoGenSamplePicture", { picture });
  const text = node(root, "EchoGenEncodeText", { prompt });
  return { root, reference, text, seen: new SamplePrompt() };
}

/** What is noted once a picture is chosen. */
function chosen({ reference, seen }, picture) {
  reference.widgets[0].value = picture;
  return seen.outlived(reference);
}

test("the samples are those of the pack", () => {
  const files = readdirSync(new URL("../../echogen_core/assets/samples", import.meta.url));
  assert.deepEqual([...SAMPLES.keys()], files.filter((name) => name.endsWith(".png")).sort());
});

test("a prompt that names the sample is noted once another picture is chosen, until it changes", () => {
  const made = workflow();
  assert.equal(made.seen.outlived(made.reference), "", "the sample itself");
  assert.equal(chosen(made, "my dog.png"), "teddy bear");
  assert.equal(chosen(made, "my cat.png"), "teddy bear");
  assert.equal(chosen(made, "teddy_bear.png"), "");
  assert.equal(chosen(made, "my dog.png"), "teddy bear");
  made.text.widgets[0].value = "a dog on a meadow";
  assert.equal(made.seen.outlived(made.reference), "");
});

test("a saved workflow with an own picture, and a painted sample, are not noted", () => {
  const own = workflow("a teddy bear on a meadow", "my bear.png");
  assert.equal(own.seen.outlived(own.reference), "");
  assert.equal(chosen(own, "my other bear.png"), "");
  const painted = workflow();
  painted.seen.outlived(painted.reference);
  assert.equal(chosen(painted, "clipspace/clipspace-painted-masked-1.png [input]"), "");
  assert.equal(chosen(painted, "my dog.png"), "teddy bear");
});

for (const [picture, prompt, noted] of [
  ["cup_cake.png", "two Cupcakes in a forest", "cup cake"],
  ["siamese_cat.png", "the Siamese-cat by the sea", "siamese cat"],
  ["teddy_bear.png", "a teddy in the bear's forest", ""],
  ["teddy_bear.png", "the subject on a meadow", ""],
]) {
  test(`${picture} replaced, prompt: ${prompt}`, () => {
    const made = workflow(prompt, picture);
    made.seen.outlived(made.reference);
    assert.equal(chosen(made, "mine.png"), noted);
  });
}

test("prompts are found over wires, in sweeps and in subgraphs", () => {
  const made = workflow("");
  const inner = graph(made.root);
  node(inner, "EchoGenGammaSweep", { values: "a dog\na teddy bear in Venice" });
  made.seen.outlived(made.reference);
  assert.equal(chosen(made, "mine.png"), "teddy bear");
  inner.nodes[0].widgets[0].value = "a dog";
  assert.equal(made.seen.outlived(made.reference), "");
  const primitive = node(made.root, "PrimitiveNode", { value: "my teddy bear" });
  connect(made.root, primitive, 0, made.text, "prompt");
  assert.equal(made.seen.outlived(made.reference), "teddy bear");
});

test("whatever a broken file has in these nodes is no error", () => {
  for (const value of HOSTILE) {
    const made = workflow(value, value);
    made.seen.outlived(made.reference);
    assert.equal(typeof chosen(made, "mine.png"), "string");
    const sample = workflow(value);
    sample.seen.outlived(sample.reference);
    assert.equal(typeof chosen(sample, value), "string");
  }
  assert.equal(new SamplePrompt().outlived({}), "");
});
