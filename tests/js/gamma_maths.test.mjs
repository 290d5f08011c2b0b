import assert from "node:assert/strict";
import { test } from "node:test";
import {
  branches, DEFAULT, gammaAfterKey, gammaAt, NANO_PRESETS, PRESETS, snap, toGamma, toShare,
} from "../../web/js/gamma_maths.js";

test("a place on the pad and its γ are each other's inverse", () => {
  for (let gamma = 0; gamma <= 8; gamma += 0.05) assert.ok(Math.abs(toGamma(toShare(gamma)) - gamma) < 1e-9);
});

test("the default lies in the middle, the useful region takes most of a side", () => {
  assert.ok(Math.abs(toShare(DEFAULT.t) - 0.5) < 0.01);
  assert.ok(toShare(4) > 0.6);
});

test("outside the pad γ stays at its edge", () => {
  assert.deepEqual(gammaAt(-3, 7, true), { t: 0, i: 8 });
  assert.equal(toShare(99), 1);
});

test("values are those that the widgets can show", () => {
  assert.equal(snap(0.1 + 0.2), 0.3);
  const { t, i } = gammaAt(0.333, 0.777, true);
  for (const value of [t, i]) assert.equal(value, Number((Math.round(value / 0.05) * 0.05).toFixed(2)));
});

test("near the diagonal coarse steps keep to it, fine ones do not", () => {
  const coarse = gammaAt(0.5, 0.515, false);
  assert.equal(coarse.t, coarse.i);
  const fine = gammaAt(0.5, 0.515, true);
  assert.notEqual(fine.t, fine.i);
});

test("arrows move one axis, shift in fine steps, edges hold", () => {
  assert.deepEqual(gammaAfterKey({ t: 2, i: 3 }, "ArrowUp", false), { t: 2, i: 3.25 });
  assert.deepEqual(gammaAfterKey({ t: 2, i: 3 }, "ArrowLeft", true), { t: 1.95, i: 3 });
  assert.deepEqual(gammaAfterKey({ t: 8, i: 3 }, "ArrowRight", false), { t: 8, i: 3 });
  assert.equal(gammaAfterKey({ t: 2, i: 3 }, "a", false), null);
});

test("branches as the sampler computes them", () => {
  assert.equal(branches({ t: 2.5, i: 2.5 }), 2);
  assert.equal(branches({ t: 1, i: 1 }), 1);
  assert.equal(branches({ t: 2, i: 3 }), 3);
  assert.equal(branches({ t: 1, i: 0 }), 1);
});

test("presets lie on the pad, far apart, and each has more of the subject than the one before", () => {
  for (const presets of [PRESETS, NANO_PRESETS].map(Object.values)) {
    for (const [at, { t, i }] of presets.entries()) {
      assert.ok(t >= 0 && t <= 8 && i >= 0 && i <= 8);
      for (const other of presets.slice(0, at)) {
        assert.ok(i > other.i && Math.hypot(toShare(t) - toShare(other.t), toShare(i) - toShare(other.i)) > 0.2);
      }
    }
  }
});
