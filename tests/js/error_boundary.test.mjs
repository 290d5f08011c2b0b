import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { attempt, nameOf } from "../../web/js/error_boundary.js";
import { HOSTILE } from "./hostile.mjs";

test("an error is said once for each view, with its node, and harms no other", () => {
  const said = mock.method(console, "error", () => {});
  const views = [1, 2, 3].map((id) => ({ node: { id, title: "Sampler" } }));
  const broken = () => {
    throw new TypeError("broken");
  };
  const drawn = [];
  for (let round = 0; round < 3; round++) {
    for (const view of views) attempt(view, () => (view.node.id === 2 ? drawn.push(view.node.id) : broken()), 0);
  }
  assert.deepEqual(drawn, [2, 2, 2]);
  assert.deepEqual(
    said.mock.calls.map(({ arguments: [text] }) => text.match(/“.*” #\d/)[0]),
    ["“Sampler” #1", "“Sampler” #3"],
  );
  assert.ok(said.mock.calls.every(({ arguments: [, error] }) => error instanceof TypeError));
  assert.equal(attempt(views[0], broken, 7), 7);
  assert.equal(
    attempt(views[1], () => 5, 7),
    5,
  );
  said.mock.restore();
});

test("a node of any kind has a name", () => {
  for (const value of HOSTILE) assert.equal(typeof nameOf({ title: value, id: value }), "string");
  assert.equal(typeof nameOf(undefined), "string");
});
