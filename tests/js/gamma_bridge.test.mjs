import assert from "node:assert/strict";
import { test } from "node:test";
import { GammaBridge } from "../../web/js/gamma_bridge.js";
import { DEFAULT, gammaAfterKey } from "../../web/js/gamma_maths.js";
import { connect, graph, node, subgraphWithSampler } from "./graph.mjs";
import { HOSTILE } from "./hostile.mjs";

const sampler = (where = graph()) =>
  node(where, "EchoGenSampler", { gamma_t: 2, gamma_i: 3, seed: 7 }, ["text", "model", "guidance"]);

test("it reads and writes the two widgets and nothing else", () => {
  const made = sampler();
  const bridge = new GammaBridge(made);
  assert.deepEqual(bridge.read(), { t: 2, i: 3 });
  assert.deepEqual(bridge.providers(), []);
  bridge.write({ t: 4.02, i: 3 });
  assert.deepEqual(made.widgets.map((widget) => widget.value), [4, 3, 7]);
  assert.deepEqual(made.told, [["gamma_t", 4]], "only what changed is told");
});

test("the passes are counted where γ alone decides them", () => {
  for (const name of ["edit", "regions"]) {
    const root = graph();
    const made = node(root, "EchoGenSampler", { gamma_t: 2, gamma_i: 2 }, ["model", "edit", "regions"]);
    const bridge = new GammaBridge(made);
    const before = bridge.state();
    assert.equal(bridge.cheapness(), "fast");
    connect(root, node(root, `from ${name}`), 0, made, name);
    assert.equal(bridge.cheapness(), "cheaper");
    assert.notEqual(bridge.state(), before, "the pad is redrawn");
  }
});

test("a linked γ is shown and locked, the other one is not", () => {
  const root = graph();
  const [made, primitive] = [sampler(root), node(root, "PrimitiveFloat", { value: 6 })];
  connect(root, primitive, 0, made, "gamma_i");
  const bridge = new GammaBridge(made);
  assert.deepEqual(bridge.locked(), { t: false, i: true });
  bridge.write({ t: 1, i: 1 });
  assert.deepEqual(bridge.read(), { t: 1, i: 6 });
  assert.deepEqual([primitive.told, made.widgets[1].value], [[], 3]);
  assert.deepEqual(bridge.providers(), ["PrimitiveFloat"]);
});

test("a schedule locks both, and no single value counts", () => {
  const root = graph();
  const made = sampler(root);
  connect(root, node(root, "EchoGenGuidanceSchedule", { gamma_t: 1 }), 0, made, "guidance");
  const bridge = new GammaBridge(made);
  assert.deepEqual(bridge.locked(), { t: true, i: true });
  assert.deepEqual(bridge.read(), { t: NaN, i: NaN });
});

test("in a subgraph it changes the value that counts", () => {
  const root = graph();
  const { inner, sampler } = subgraphWithSampler(root);
  const host = node(root, "the blueprint", { gamma: 1.5 }, [], { subgraph: inner });
  const bridge = new GammaBridge(sampler);
  assert.deepEqual(bridge.read(), { t: 1.5, i: 3 });
  assert.deepEqual(bridge.providers(), ["the blueprint"]);
  bridge.write({ t: 4, i: 5 });
  assert.deepEqual(host.told, [["gamma", 4]]);
  assert.deepEqual(sampler.widgets.map(({ value }) => value), [2, 5], "its own row is not what counts");
});

test("its state changes with values, links and titles", () => {
  const root = graph();
  const [made, primitive] = [sampler(root), node(root, "PrimitiveFloat", { value: 5 })];
  const bridge = new GammaBridge(made);
  const states = [bridge.state()];
  assert.equal(bridge.state(), states[0]);
  made.widgets[0].value = 5;
  states.push(bridge.state());
  connect(root, primitive, 0, made, "gamma_t");
  states.push(bridge.state());
  primitive.title = "mine";
  states.push(bridge.state());
  primitive.widgets[0].value = 6;
  states.push(bridge.state());
  assert.equal(new Set(states).size, 5);
});

test("a double click goes to what the wired model likes, where that is known", () => {
  const wired = (preset) => {
    const made = sampler();
    connect(made.graph, node(made.graph, "EchoGenLoadBundle", { preset }), 0, made, "model");
    return new GammaBridge(made).modelDefault();
  };
  assert.deepEqual(wired("nano (built in)"), { t: 2.5, i: 2.5 });
  assert.deepEqual(wired("EchoGen-2B"), { t: 2.5, i: 2.5 });
  assert.deepEqual(wired(null), { t: 2.5, i: 2.5 });
  assert.deepEqual(new GammaBridge(sampler()).modelDefault(), { t: 2.5, i: 2.5 });
});

test("whatever is in a widget, in a title or in the loader, γ is a number or not known", () => {
  for (const value of HOSTILE) {
    const made = sampler();
    const bridge = new GammaBridge(made);
    made.widgets[0].value = value;
    const { t, i } = bridge.read();
    assert.ok(Number.isNaN(t) || Number.isFinite(t));
    assert.equal(i, 3);
    assert.ok(!/undefined|\[object/.test(bridge.state()));
    bridge.write(gammaAfterKey(bridge.read(), "ArrowUp", false));
    assert.ok(Number.isFinite(made.widgets[0].value), "a key makes a number of it");

    const source = node(made.graph, "PrimitiveFloat", { value: 5 });
    source.title = value;
    connect(made.graph, source, 0, made, "gamma_t");
    assert.ok(bridge.providers().every((title) => typeof title === "string" && title.length <= 200));
    connect(made.graph, node(made.graph, "EchoGenLoadBundle", { preset: value }), 0, made, "model");
    assert.deepEqual(bridge.modelDefault(), DEFAULT);
  }
});

test("what is no number is not written", () => {
  const made = sampler();
  new GammaBridge(made).write({ t: NaN, i: 4 });
  assert.deepEqual(made.widgets.map(({ value }) => value), [2, 4, 7]);
});
