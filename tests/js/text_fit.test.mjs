import assert from "node:assert/strict";
import { test } from "node:test";
import { overlap, sizeInRoom } from "../../web/js/text_fit.js";

test("a text shrinks to its room, but not below what can be read", () => {
  assert.deepEqual([sizeInRoom(22, 200, 250), sizeInRoom(22, 250, 250)], [22, 22]);
  assert.equal(sizeInRoom(20, 250, 200), 16);
  assert.equal(sizeInRoom(20, 9000, 200), 12);
  assert.equal(sizeInRoom(20, 0, 200), 20, "a text that isn't shown has no width");
});

test("boxes overlap where they share more than an edge", () => {
  const box = { x: 10, y: 10, width: 20, height: 10 };
  const at = (x, y) => overlap(box, { x, y, width: 5, height: 5 }) && overlap({ x, y, width: 5, height: 5 }, box);
  assert.deepEqual([at(12, 12), at(6, 6), at(29, 19)], [true, true, true]);
  assert.deepEqual([at(30, 12), at(5, 12), at(12, 20), at(12, 5)], [false, false, false, false]);
});
