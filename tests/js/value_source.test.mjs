import assert from "node:assert/strict";
import { test } from "node:test";
import { sourceOf } from "../../web/js/value_source.js";
import { connect, graph, node, subgraphWithSampler } from "./graph.mjs";

const sampler = (where) => node(where, "EchoGenSampler", { gamma_t: 2, gamma_i: 3 }, ["guidance"]);

test("without a wire it is the widget itself", () => {
  const made = sampler(graph());
  assert.deepEqual(sourceOf(made, "gamma_t"), { value: 2, widget: made.widgets[0], provider: null, connected: false });
  assert.deepEqual(sourceOf(made, "guidance"), { value: undefined, widget: null, provider: null, connected: false });
});

for (const type of ["PrimitiveNode", "PrimitiveFloat", "PrimitiveInt"]) {
  test(`${type} is read, and left alone`, () => {
    const root = graph();
    const [made, primitive] = [sampler(root), node(root, type, { value: 4.5 })];
    connect(root, primitive, 0, made, "gamma_t");
    assert.deepEqual(sourceOf(made, "gamma_t"), { value: 4.5, widget: null, provider: primitive, connected: true });
    assert.equal(sourceOf(made, "gamma_i").connected, false);
  });
}

test("what a run computes is not known", () => {
  const root = graph();
  const [made, maths] = [sampler(root), node(root, "SomeMaths", { value: 4.5 })];
  connect(root, maths, 0, made, "gamma_t");
  assert.deepEqual(sourceOf(made, "gamma_t"), { value: undefined, widget: null, provider: maths, connected: true });
});

test("reroutes, chained primitives and subgraphs on the way are followed", () => {
  const root = graph();
  const [made, reroute, first, second] = [
    sampler(root),
    node(root, "Reroute", {}, [""]),
    node(root, "PrimitiveFloat", { value: 1 }),
    node(root, "PrimitiveFloat", { value: 6 }),
  ];
  const inner = graph(root);
  const passing = node(inner, "Reroute", {}, [""]);
  const host = node(root, "a subgraph", { gamma: 0 }, [], { subgraph: inner });
  connect(inner, null, 0, passing, "");
  connect(inner, passing, 0, null, 0);
  connect(root, second, 0, first, "value");
  connect(root, first, 0, host, "gamma");
  connect(root, host, 0, reroute, "");
  connect(root, reroute, 0, made, "gamma_t");
  const { value, widget, provider } = sourceOf(made, "gamma_t");
  assert.deepEqual([value, widget, provider], [6, null, second]);
});

test("wires in a circle end", () => {
  const root = graph();
  const [made, one, other] = [sampler(root), node(root, "Reroute", {}, [""]), node(root, "Reroute", {}, [""])];
  connect(root, one, 0, other, "");
  connect(root, other, 0, one, "");
  connect(root, one, 0, made, "gamma_t");
  assert.deepEqual(sourceOf(made, "gamma_t"), { value: undefined, widget: null, provider: null, connected: true });
});

test("muted and bypassed nodes set nothing; a bypassed one hands on what comes in", () => {
  for (const mode of [2, 4]) {
    const root = graph();
    const [made, primitive] = [sampler(root), node(root, "PrimitiveFloat", { value: 4 }, [], { mode })];
    connect(root, primitive, 0, made, "gamma_t");
    assert.deepEqual(sourceOf(made, "gamma_t"), { value: 2, widget: made.widgets[0], provider: null, connected: false });
  }
  const root = graph();
  const [made, maths] = [sampler(root), node(root, "SomeMaths", { a: 1 }, [], { mode: 4 })];
  connect(root, node(root, "PrimitiveFloat", { value: 5 }), 0, maths, "a");
  connect(root, maths, 0, made, "gamma_t");
  assert.equal(sourceOf(made, "gamma_t").value, 5);
});

test("in a subgraph the widget that its node shows counts, and is the one to change", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  const host = node(root, "the blueprint", { "any name": 5.5 }, [], { subgraph: inner });
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 5.5, widget: host.widgets[0], provider: host, connected: true });
  connect(root, node(root, "PrimitiveFloat", { value: 7 }), 0, host, "any name");
  const wired = sourceOf(sampler, "gamma_t");
  assert.deepEqual([wired.value, wired.widget], [7, null]);
});

test("an input that the subgraph's node has no widget and no wire for sets nothing", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  node(root, "the blueprint", {}, ["gamma"], { subgraph: inner });
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 2, widget: sampler.widgets[0], provider: null, connected: false });
});

test("two nodes of one subgraph: known where they agree, for neither to change", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  const [, other] = [1, 1].map((value) => node(root, "the blueprint", { gamma: value }, [], { subgraph: inner }));
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 1, widget: null, provider: null, connected: true });
  other.widgets[0].value = 8;
  assert.equal(sourceOf(sampler, "gamma_t").value, undefined);
});

test("subgraphs in subgraphs; those that are in no use do not count", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  const middle = graph(root);
  const host = node(middle, "the blueprint", { gamma: 1 }, [], { subgraph: inner });
  connect(middle, null, 0, host, "gamma");
  node(graph(root), "left over", { gamma: 8 }, [], { subgraph: inner });
  const outer = node(root, "around it", { gamma: 3.5 }, [], { subgraph: middle });
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 3.5, widget: outer.widgets[0], provider: outer, connected: true });
});

test("a PrimitiveNode counts whatever its mode", () => {
  for (const mode of [2, 4]) {
    const root = graph();
    const [made, primitive] = [sampler(root), node(root, "PrimitiveNode", { value: 6.25 }, [], { mode, inputs: [] })];
    connect(root, primitive, 0, made, "gamma_i");
    assert.deepEqual(sourceOf(made, "gamma_i"), { value: 6.25, widget: null, provider: primitive, connected: true });
  }
});

test("a PrimitiveNode writes into the widget that it is wired to, and hands nothing on", () => {
  const root = graph();
  const [made, reroute] = [sampler(root), node(root, "Reroute", {}, [""])];
  connect(root, node(root, "PrimitiveNode", { value: 6.25 }, [], { inputs: [] }), 0, reroute, "");
  connect(root, reroute, 0, made, "gamma_t");
  assert.deepEqual(sourceOf(made, "gamma_t"), { value: 2, widget: made.widgets[0], provider: null, connected: false });
  const number = node(root, "PrimitiveFloat", { value: 1 });
  connect(root, node(root, "PrimitiveNode", { value: 5 }, [], { mode: 2, inputs: [] }), 0, number, "value");
  connect(root, number, 0, made, "gamma_i");
  assert.equal(sourceOf(made, "gamma_i").value, 5);
});

for (const [type, mode] of [
  ["PrimitiveNode", 0],
  ["PrimitiveNode", 2],
  ["PrimitiveNode", 4],
  ["PrimitiveFloat", 2],
  ["PrimitiveFloat", 4],
]) {
  test(`a ${type} of mode ${mode} on the subgraph's node: the widget inside counts, and is the one to change`, () => {
    const root = graph();
    const { inner, sampler } = subgraphWithSampler(root);
    const host = node(root, "the blueprint", { gamma: 5.5 }, [], { subgraph: inner });
    host.inputs[0].widgetId = "1:gamma";
    connect(root, node(root, type, { value: 7 }, [], { mode }), 0, host, "gamma");
    const own = { value: 2, widget: sampler.widgets[0], provider: null, connected: false };
    assert.deepEqual(sourceOf(sampler, "gamma_t"), own);
  });
}

test("front ends without a widgetId write what the subgraph's node shows into the widget inside", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  const host = node(root, "the blueprint", { gamma: 5.5 }, [], { subgraph: inner });
  const primitive = node(root, "PrimitiveNode", { value: 7 }, [], { mode: 2, inputs: [] });
  const wire = connect(root, primitive, 0, host, "gamma");
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 7, widget: null, provider: primitive, connected: true });
  root.links.delete(wire);
  connect(root, node(root, "PrimitiveFloat", { value: 6 }, [], { mode: 4 }), 0, host, "gamma");
  assert.deepEqual(sourceOf(sampler, "gamma_t"), { value: 5.5, widget: host.widgets[0], provider: host, connected: true });
});

test("a bypassed node hands on what its target can take, by the rules for wires", () => {
  for (const [taken, given, value] of [
    ["*", "*", 5],
    ["INT,FLOAT", "FLOAT", 5],
    ["float", "INT,FLOAT", 5],
    ["", "*", 5],
    ["STRING", "FLOAT", 2],
    ["*", "STRING", 5],
  ]) {
    const root = graph();
    const [made, passing] = [sampler(root), node(root, "Reroute", {}, ["in"], { mode: 4, outputs: [{ type: given }] })];
    passing.inputs[0].type = taken;
    connect(root, node(root, "PrimitiveFloat", { value: 5 }), 0, passing, "in");
    connect(root, passing, 0, made, "gamma_t");
    assert.equal(sourceOf(made, "gamma_t").value, value, `${taken} to ${given}`);
  }
});

test("of a bypassed node's inputs it is the one in the place of the output, else the first of the asked type", () => {
  const root = graph();
  const [made, choice] = [sampler(root), node(root, "Switch", {}, ["on", "first", "second"], { mode: 4 })];
  choice.outputs[0].type = "*";
  ["BOOLEAN", "*", "FLOAT"].forEach((type, at) => (choice.inputs[at].type = type));
  ["first", "second"].forEach((name, at) =>
    connect(root, node(root, "PrimitiveFloat", { value: 5 + at }), 0, choice, name),
  );
  connect(root, choice, 0, made, "gamma_t");
  assert.equal(sourceOf(made, "gamma_t").value, 6, "the first of the very type");
  choice.inputs[2].type = "STRING";
  assert.equal(sourceOf(made, "gamma_t").value, 5, "else the first that fits");
});

test("subgraphs within themselves, and within each other, end", () => {
  const root = graph();
  const { inner, sampler: made } = subgraphWithSampler(root);
  const other = graph(root);
  for (const [where, subgraph] of [
    [inner, inner],
    [inner, other],
    [other, inner],
  ]) {
    node(where, "subgraph", {}, ["in"], { subgraph });
  }
  assert.equal(sourceOf(made, "gamma_t").value, undefined, "it runs as nothing");
  node(root, "subgraph", { in: 5 }, [], { subgraph: inner });
  assert.equal(typeof sourceOf(made, "gamma_t").connected, "boolean");
});

test("a node in subgraphs that are in two subgraphs each, forty deep, is read at once", () => {
  const root = graph();
  let { inner, sampler: made } = subgraphWithSampler(root);
  for (let level = 0; level < 40; level++) {
    const outer = level < 39 ? graph(root) : root;
    for (const _ of [0, 1]) {
      const host = node(outer, "subgraph", {}, ["in"], { subgraph: inner });
      if (outer !== root) connect(outer, null, 0, host, "in");
    }
    inner = outer;
  }
  const start = performance.now();
  assert.deepEqual([sourceOf(made, "gamma_t").value, sourceOf(made, "gamma_t").widget], [undefined, null]);
  assert.ok(performance.now() - start < 5000);
});

test("slots that are none are passed over", () => {
  const made = sampler(graph());
  made.inputs.unshift(null, 5, {});
  assert.equal(sourceOf(made, "gamma_t").value, 2);
});
