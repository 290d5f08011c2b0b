import assert from "node:assert/strict";
import { test } from "node:test";
import { GammaBridge } from "../../web/js/gamma_bridge.js";

/** A sampler as the graph has it, with a record of what was told to its widgets. */
function sampler(inputs = []) {
  const told = [];
  const widget = (name, value) => ({ name, value, callback: (now) => told.push([name, now]) });
  const widgets = [widget("gamma_t", 2), widget("gamma_i", 3), widget("seed", 7)];
  return { node: { widgets, inputs }, told };
}

test("it reads and writes the two widgets and nothing else", () => {
  const { node, told } = sampler();
  const bridge = new GammaBridge(node);
  assert.deepEqual(bridge.read(), { t: 2, i: 3 });
  bridge.write({ t: 4.02, i: 3 });
  assert.deepEqual(node.widgets.map((widget) => widget.value), [4, 3, 7]);
  assert.deepEqual(told, [["gamma_t", 4]], "only what changed is told");
});

test("a linked γ is locked, the other one is not", () => {
  const { node } = sampler([{ name: "gamma_i", widget: { name: "gamma_i" }, link: 5 }]);
  const bridge = new GammaBridge(node);
  assert.deepEqual(bridge.locked(), { t: false, i: true });
  bridge.write({ t: 1, i: 1 });
  assert.deepEqual(bridge.read(), { t: 1, i: 3 });
});

test("a schedule locks both", () => {
  const { node } = sampler([{ name: "guidance", link: 0 }, { name: "gamma_t", link: null }]);
  assert.deepEqual(new GammaBridge(node).locked(), { t: true, i: true });
});

test("its state changes with values and links", () => {
  const { node } = sampler([{ name: "gamma_t", link: null }]);
  const bridge = new GammaBridge(node);
  const before = bridge.state();
  assert.equal(bridge.state(), before);
  node.widgets[0].value = 5;
  const moved = bridge.state();
  assert.notEqual(moved, before);
  node.inputs[0].link = 1;
  assert.notEqual(bridge.state(), moved);
});

test("a double click goes to what the wired model likes, where that is known", () => {
  const wired = (preset) => {
    const { node } = sampler([{ name: "text", link: 1 }, { name: "model", link: 2 }]);
    const loader = { widgets: [{ name: "preset", value: preset }] };
    node.getInputNode = (slot) => (slot === 1 && preset ? loader : null);
    return new GammaBridge(node).home();
  };
  assert.deepEqual(wired("nano (built in)"), { t: 2.5, i: 2.5 });
  assert.deepEqual(wired("EchoGen-2B"), { t: 2.5, i: 2.5 });
  assert.deepEqual(wired(null), { t: 2.5, i: 2.5 });
  assert.deepEqual(new GammaBridge(sampler().node).home(), { t: 2.5, i: 2.5 });
});
