import assert from "node:assert/strict";
import { test } from "node:test";
import { curve, needed, parsePoints, SHAPES, weights, written } from "../../web/js/schedule_maths.js";

const SETTINGS = { shape: "constant", gamma_t: 3, gamma_i: 2, end: 1, points_t: "1, 3", points_i: "4" };
const shaped = (shape, axis = "t", scales = 5) => curve({ ...SETTINGS, shape }, axis, scales);

test("shapes go as the node's", () => {
  assert.deepEqual(shaped("constant"), [3, 3, 3, 3, 3]);
  assert.deepEqual(shaped("early"), [3, 3, 1, 1, 1]);
  assert.deepEqual(shaped("late off", "i"), [2, 2, 2, 1, 1]);
  assert.deepEqual(shaped("linear"), [3, 2.5, 2, 1.5, 1]);
  const cosine = shaped("cosine");
  assert.deepEqual([cosine[0], cosine[2], cosine[4]], [3, 2, 1]);
  assert.deepEqual(shaped("drawn"), [1, 1.5, 2, 2.5, 3]);
  assert.deepEqual(shaped("drawn", "i"), [4, 4, 4, 4, 4]);
  assert.equal(shaped("unknown"), null);
});

test("thirteen points of a preset draw the same curve for thirteen and for five scales", () => {
  for (const shape of SHAPES) {
    const points_t = written(shaped(shape, "t", 13));
    for (const scales of [13, 5]) {
      const drawn = curve({ ...SETTINGS, shape: "drawn", points_t }, "t", scales);
      drawn.forEach((gamma, scale) => assert.ok(Math.abs(gamma - shaped(shape, "t", scales)[scale]) < 0.006, shape));
    }
  }
});

test("points are read as the node reads them", () => {
  assert.deepEqual(parsePoints("2.5, 2.5,\n 1"), [2.5, 2.5, 1]);
  assert.deepEqual(parsePoints("1-3, .5"), [1, 2, 3, 0.5]);
  assert.deepEqual(parsePoints("3-2 (+0.5)"), [3, 2.5, 2]);
  assert.deepEqual(parsePoints("0-8 [5]"), [0, 2, 4, 6, 8]);
  for (const refused of ["", "two", "1, 9", "-1", "1-2 (+0)", "0-8 (+0.01)", "0-8 [33]"]) {
    assert.equal(parsePoints(refused), null, refused);
  }
});

test("a branch is needed as long as it weighs something at this or a later scale", () => {
  assert.deepEqual(weights(3, 2), [2, 1, -2]);
  const counts = (t, i) => needed(t, i).map((branches) => branches.filter(Boolean).length);
  assert.deepEqual(counts([3, 3], [2, 2]), [3, 3]);
  assert.deepEqual(counts([2.5, 2.5], [2.5, 2.5]), [2, 2]);
  assert.deepEqual(counts([1, 1], [1, 1]), [1, 1]);
  assert.deepEqual(counts([3, 1], [2, 1]), [3, 1]);
  assert.deepEqual(counts([1, 3], [1, 2]), [3, 3], "the later scale needs its past");
});
