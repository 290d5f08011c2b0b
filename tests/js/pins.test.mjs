import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, fitted, long, MOST, pinOf, short, withoutPin, withPin } from "../../web/js/pins.js";

const INPUTS = { model: ["4", 0], gamma_t: 2, gamma_i: 3.5, seed: 7, tau: 0, aspect_ratio: "1:1" };

test("a pin has the values that the server ran, without what came over wires", () => {
  const pin = pinOf("run", INPUTS, "data:");
  assert.deepEqual(pin.gamma, { t: 2, i: 3.5 });
  assert.deepEqual(pin.settings, { seed: 7, tau: 0, aspect_ratio: "1:1" });
  assert.equal(short(pin), "2 / 3.5 · 7");
  assert.equal(long(pin), "γ_t 2, γ_I 3.5\nseed 7\ntau 0\naspect_ratio 1:1");
});

test("γ from outside is not known", () => {
  assert.equal(pinOf("run", { ...INPUTS, gamma_i: ["9", 0] }, "").gamma, null);
  assert.equal(pinOf("run", { ...INPUTS, guidance: ["9", 0] }, "").gamma, null);
  assert.equal(short(pinOf("run", null, "")), "γ ?");
});

test("the oldest pin makes room, a run is pinned once", () => {
  let pins = [];
  for (let run = 0; run < MOST + 2; run++) pins = withPin(pins, pinOf(`${run}`, INPUTS, ""));
  assert.deepEqual([pins.length, pins[0].id], [MOST, "2"]);
  assert.equal(withPin(pins, pinOf("5", INPUTS, "")).length, MOST);
  assert.equal(withoutPin(pins, "5").length, MOST - 1);
});

test("two are chosen at most, the older one leaves", () => {
  assert.deepEqual(choose([], "a"), ["a"]);
  assert.deepEqual(choose(["a", "b"], "c"), ["b", "c"]);
  assert.deepEqual(choose(["a", "b"], "a"), ["b"]);
});

test("small pictures grow by whole numbers, large ones shrink to fit", () => {
  assert.deepEqual(fitted(64, 64, 380, 200), { width: 192, height: 192 });
  assert.deepEqual(fitted(64, 64, 100, 200), { width: 64, height: 64 });
  assert.deepEqual(fitted(1024, 512, 256, 256), { width: 256, height: 128 });
});
