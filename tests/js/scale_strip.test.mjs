import assert from "node:assert/strict";
import { test } from "node:test";
import { ScaleStrip } from "../../web/js/scale_strip.js";

test("it fills scale by scale; the last preview is the finished picture", () => {
  const strip = new ScaleStrip();
  for (let scale = 1; scale <= 5; scale++) {
    assert.equal(strip.finished, undefined);
    strip.progress("a", scale, 5);
    strip.preview("a", `picture ${scale}`);
    assert.equal(strip.total, 5);
    assert.equal(strip.pictures.length, scale);
  }
  assert.equal(strip.finished, "picture 5");
});

test("a preview dropped on the way leaves a hole, not a shift", () => {
  const strip = new ScaleStrip();
  for (const scale of [1, 3]) {
    strip.progress("a", scale, 3);
    strip.preview("a", `picture ${scale}`);
  }
  assert.deepEqual([strip.pictures[0], strip.pictures[1], strip.finished], ["picture 1", undefined, "picture 3"]);
});

test("the former run's pictures stay until the new run has one", () => {
  const strip = new ScaleStrip();
  strip.progress("a", 1, 1);
  strip.preview("a", "old");
  strip.progress("b", 0, 1);
  assert.equal(strip.finished, "old");
  strip.progress("b", 1, 2);
  strip.preview("b", "new");
  assert.deepEqual(strip.pictures, ["new"]);
  assert.equal(strip.finished, undefined, "a run that was cancelled has no finished picture");
});

test("without progress events previews line up in their order", () => {
  const strip = new ScaleStrip();
  strip.preview("a", "1");
  strip.preview("a", "2");
  assert.deepEqual(strip.pictures, ["1", "2"]);
  assert.equal(strip.finished, undefined, "how many there will be is not known");
});

test("numbers that are none of scales make no strip of a million pictures", () => {
  const strip = new ScaleStrip();
  for (const [scale, total] of [
    [1e9, 1e9],
    [NaN, 5],
    [-1, 5],
    [6, 5],
    ["1", "5"],
    [0.5, 5],
    [undefined, undefined],
    [null, 3],
  ]) {
    strip.progress("run", scale, total);
    strip.preview("run", "picture");
  }
  assert.equal(strip.total, 0);
  assert.equal(strip.pictures.length, 8);
  for (let more = 0; more < 200; more++) strip.preview("run", "picture");
  assert.equal(strip.pictures.length, 64);
  strip.progress("run", 2, 5);
  strip.preview("run", "scale 2");
  assert.deepEqual([strip.total, strip.pictures[1]], [5, "scale 2"]);
});
