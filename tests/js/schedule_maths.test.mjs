import assert from "node:assert/strict";
import { test } from "node:test";
import { cost, curve, needed, parsePoints, readSettings, SHAPES, weights, formatPoints } from "../../web/js/schedule_maths.js";
import { HOSTILE, soon } from "./hostile.mjs";

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
    const points_t = formatPoints(shaped(shape, "t", 13));
    for (const scales of [13, 5]) {
      const drawn = curve({ ...SETTINGS, shape: "drawn", points_t }, "t", scales);
      drawn.forEach((gamma, scale) => assert.ok(Math.abs(gamma - shaped(shape, "t", scales)[scale]) < 0.006, shape));
    }
  }
});

test("points are numbers that the sampler takes, of which a curve has a few", () => {
  assert.deepEqual(parsePoints("2.5, 2.5,\n 1"), [2.5, 2.5, 1]);
  for (const refused of ["", "0,5", "1, 9", "-1", "0-8 (+0.01)"]) assert.equal(parsePoints(refused), null, refused);
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

test("the cost counts tokens, most of which are in the last scales", () => {
  const sides = [1, 2, 4, 8, 16];
  const used = (...counts) => counts.map((count) => [0, 1, 2].map((branch) => branch < count));
  assert.equal(cost(used(3, 3, 3, 3, 3), sides), 100);
  assert.equal(cost(used(2, 2, 2, 2, 2), sides), 67);
  assert.equal(cost(used(3, 3, 3, 3, 1), sides), 50);
  assert.equal(cost(used(3, 3, 3, 1, 1), sides), 37);
});

test("settings are read in a plain form, or not at all", () => {
  const plain = { shape: "drawn", gamma_t: 2, gamma_i: 3, end: 1, points_t: "2, 1", points_i: "1-8" };
  assert.deepEqual(
    readSettings((name) => plain[name]),
    plain,
  );
  assert.equal(readSettings((name) => ({ ...plain, end: "1.5" })[name]).end, 1.5);
  soon(() => {
    for (const name of Object.keys(plain)) {
      for (const value of HOSTILE) {
        const settings = readSettings((asked) => (asked === name ? value : plain[asked]));
        if (!settings) continue;
        for (const axis of ["t", "i"]) {
          const values = curve(settings, axis, 13);
          assert.ok(values === null || values.every(Number.isFinite), `${name} ${axis}`);
        }
      }
    }
  });
});
