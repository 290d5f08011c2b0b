import assert from "node:assert/strict";
import { test } from "node:test";
import { livePart } from "../../web/js/live_graph.js";

const shows = (names, output = []) => ({
  output_node: true,
  input: { required: Object.fromEntries(names.map((name) => [name, ["*"]])) },
  output,
});
const KINDS = {
  EchoGenSampler: { output: ["ECHOGEN_BITS"] },
  EchoGenDecodeBits: { output: ["IMAGE"] },
  EchoGenEditPicture: shows(["image", "tokenizer"], ["ECHOGEN_EDIT"]),
  EchoGenPasteBack: { output: ["IMAGE", "MASK"] },
  ImageScale: { output: ["IMAGE"] },
  VAEEncode: { output: ["LATENT"] },
  PreviewImage: shows(["images"]),
  ImageCompare: shows(["image_a", "image_b"]),
  SaveImage: shows(["images", "filename_prefix"]),
  SaveLatent: shows(["samples", "filename_prefix"]),
  VideoCombine: shows(["pictures", "filename_prefix"], ["FILENAMES"]),
  "Image Save": shows(["pics", "folder"], ["IMAGE"]),
  Uploader: { ...shows(["pics"]), display_name: "Upload to a gallery" },
};
const node = (class_type, inputs = {}) => ({ class_type, inputs });

/** A graph whose sampler is 8 and whose picture comes from 9, with some more nodes. */
const graph = (more) => ({
  1: node("LoadImage"),
  8: node("EchoGenSampler", { gamma_t: 2.5, content: ["1", 0] }),
  9: node("EchoGenDecodeBits", { bits: ["8", 0] }),
  ...more,
});
const live = (output, samplers = ["8"]) => livePart(output, samplers, (type) => KINDS[type]);

test("what shows the picture runs; what shows something else doesn't", () => {
  const output = graph({
    10: node("ImageScale", { image: ["9", 0] }),
    11: node("PreviewImage", { images: ["10", 0] }),
    12: node("PreviewImage", { images: ["1", 0] }),
    "13:5": node("ImageCompare", { image_a: ["1", 0], image_b: ["9", 0] }),
  });
  const { targets, output: sent } = live(output);
  assert.deepEqual(targets.sort(), ["11", "13:5"]);
  assert.deepEqual(sent, output);
});

test("an edit is drawn and pasted back; its picture isn't shown anew, and nothing is saved", () => {
  const output = graph({
    7: node("EchoGenEditPicture", { image: ["1", 0] }),
    8: node("EchoGenSampler", { edit: ["7", 0] }),
    10: node("EchoGenPasteBack", { image: ["9", 0], edit: ["8", 1] }),
    11: node("PreviewImage", { images: ["10", 0] }),
    12: node("SaveImage", { images: ["10", 0], filename_prefix: "a" }),
  });
  const { targets, output: sent } = live(output);
  assert.deepEqual(targets.sort(), ["11", "12"]);
  assert.deepEqual(sent[12], node("PreviewImage", { images: ["10", 0] }));
});

for (const [type, input] of [["SaveImage", "images"], ["VideoCombine", "pictures"], ["Image Save", "pics"], ["Uploader", "pics"]]) {
  test(`${type} shows the picture in Live, and writes nothing`, () => {
    const output = graph({ 11: node(type, { filename_prefix: "a", [input]: ["9", 0] }), 12: node("SaveImage", { images: ["1", 0] }) });
    const { targets, output: sent } = live(output);
    assert.deepEqual(targets, ["11"]);
    assert.deepEqual(sent["11"], node("PreviewImage", { images: ["9", 0] }));
    assert.equal(output["11"].class_type, type, "the workflow keeps its node");
  });
}

test("neither a writer without a picture runs, nor what depends on a writer", () => {
  const { targets } = live(graph({
    10: node("VAEEncode", { pixels: ["9", 0] }),
    11: node("SaveLatent", { samples: ["10", 0] }),
    12: node("Image Save", { pics: ["9", 0] }),
    13: node("PreviewImage", { images: ["12", 0] }),
  }));
  assert.deepEqual(targets, ["12"]);
});

test("a picture that nothing shows has no targets; odd graphs neither fail nor loop", () => {
  assert.deepEqual(live(graph({})).targets, []);
  assert.deepEqual(live(graph({ 11: node("PreviewImage", { images: ["9", 0] }) }), []).targets, []);
  const odd = graph({
    11: { class_type: "PreviewImage" },
    12: node("Unknown", { a: ["9", 0], b: null, c: [], d: ["9"], e: ["gone", 0] }),
    13: node("ImageScale", { image: ["14", 0], other: ["9", 0] }),
    14: node("ImageScale", { image: ["13", 0] }),
    15: node("SaveImage", { images: ["gone", 0], other: ["14", 0] }),
  });
  assert.deepEqual(live(odd).targets, ["15"]);
  assert.deepEqual(live(odd).output["15"].inputs, { images: ["14", 0] });
});
