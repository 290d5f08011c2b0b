import assert from "node:assert/strict";
import { test } from "node:test";
import { StripStore, workOf } from "../../web/js/strip_store.js";

const GRAPH = {
  1: { class_type: "Load", inputs: { preset: "nano", strength: 1 } },
  2: { class_type: "Encode", inputs: { prompt: "in a forest", encoder: ["1", 2] } },
  5: { class_type: "EchoGenSampler", inputs: { model: ["1", 0], text: ["2", 0], seed: 7 } },
  9: { class_type: "SaveImage", inputs: { images: ["5", 0] } },
};
const changed = (id, inputs) => ({ ...GRAPH, [id]: { ...GRAPH[id], inputs: { ...GRAPH[id].inputs, ...inputs } } });

test("ids and what comes after a node don't change what it computes", () => {
  const { 1: load, 2: encode, 5: sampler } = GRAPH;
  const renamed = {
    a: { ...load, inputs: { strength: 1, preset: "nano" } },
    b: { ...encode, inputs: { ...encode.inputs, encoder: ["a", 2] } },
    "12:5": { ...sampler, inputs: { model: ["a", 0], text: ["b", 0], seed: 7 } },
    x: { class_type: "PreviewImage", inputs: { images: ["12:5", 0] } },
  };
  assert.equal(workOf(renamed, "12:5"), workOf(GRAPH, "5"));
});

test("any value and any wire before a node does", () => {
  const works = [
    GRAPH,
    changed(5, { seed: 8 }),
    changed(5, { seed: "7" }),
    changed(5, { text: ["2", 1] }),
    changed(2, { prompt: "in a city" }),
    changed(1, { preset: "other" }),
    { ...GRAPH, 2: { ...GRAPH[2], class_type: "Other" } },
  ].map((graph) => workOf(graph, "5"));
  assert.equal(new Set(works).size, works.length);
});

test("a circle, a wire to nowhere and a missing node end", () => {
  const circle = { 1: { class_type: "A", inputs: { a: ["2", 0] } }, 2: { class_type: "B", inputs: { b: ["1", 0] } } };
  for (const graph of [circle, {}, { 1: {} }, { 1: { class_type: "A", inputs: { a: ["7", 0] } } }]) {
    assert.equal(typeof workOf(graph, "1"), "string");
  }
});

test("without a database the newest strips are found all the same", async (t) => {
  const said = t.mock.method(console, "warn", () => {});
  const store = new StripStore(() => {
    throw new Error("blocked");
  });
  for (let run = 0; run < 30; run++) await store.keep(`work ${run}`, [run]);
  assert.deepEqual(await store.find("work 29"), [29]);
  assert.equal(await store.find("work 0"), undefined);
  assert.equal(said.mock.callCount(), 1, "said once");
  await store.keep("work 29", [, 29]);
  assert.deepEqual(await store.find("work 29"), [29], "a strip with a hole replaces none");
  await store.keep("work 30", [30, undefined, 30]);
  assert.equal(await store.find("work 30"), undefined);
});
