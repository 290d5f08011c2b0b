import assert from "node:assert/strict";
import { test } from "node:test";
import { applySettings } from "../../web/js/sampler_settings.js";
import { connect, graph, node } from "./graph.mjs";

const sampler = (where) => node(where, "EchoGenSampler", { gamma_t: 2, gamma_i: 3, seed: 7, tau: 0 }, ["guidance"]);
const values = ({ widgets }) => widgets.map(({ value }) => value);

test("what differs is set as if it were typed, the rest is left alone", () => {
  const made = sampler(graph());
  assert.deepEqual(applySettings(made, { gamma_t: 2, gamma_i: 0.37, seed: 9 }), { locked: [], tooLong: [] });
  assert.deepEqual([values(made), made.told], [[2, 0.37, 9, 0], [["gamma_i", 0.37], ["seed", 9]]]);
});

test("a value beyond a widget's range is set to its end", () => {
  const made = sampler(graph());
  for (const widget of made.widgets) widget.options = { min: 0, max: 8 };
  applySettings(made, { gamma_t: 1e9, gamma_i: -1 });
  assert.deepEqual(values(made), [8, 0, 7, 0]);
});

test("what a connected input sets, and a number too long for the page, is named and not set", () => {
  const where = graph();
  const made = sampler(where);
  connect(where, node(where, "Other"), 0, made, "guidance");
  const settings = { gamma_t: 1, gamma_i: 1, seed: "18446744073709551615", tau: 1 };
  assert.deepEqual(applySettings(made, settings), { locked: ["gamma_t", "gamma_i"], tooLong: ["seed"] });
  assert.deepEqual(values(made), [2, 3, 7, 1]);
});
