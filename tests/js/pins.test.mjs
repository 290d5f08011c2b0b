import assert from "node:assert/strict";
import { test } from "node:test";
import {
  caption, choose, details, isThumb, MAX_PINS, pinOf, readPins, settable, withoutPin, withPin,
} from "../../web/js/pins.js";
import { HOSTILE, soon } from "./hostile.mjs";
import { GIF, JPEG, PNG, WEBP } from "./pictures.mjs";

const INPUTS = { model: ["4", 0], gamma_t: 2, gamma_i: 3.5, seed: 7, tau: 0, aspect_ratio: "1:1" };

test("a pin has the values that the server ran, without what came over wires", () => {
  const pin = pinOf("run", INPUTS, "data:");
  assert.deepEqual(pin.gamma, { t: 2, i: 3.5 });
  assert.deepEqual(pin.settings, { seed: 7, tau: 0, aspect_ratio: "1:1" });
  assert.equal(caption(pin), "γ_t 2 · γ_I 3.5 · seed 7");
  assert.equal(details(pin), "γ_t 2, γ_I 3.5\nseed 7\ntau 0\naspect_ratio 1:1");
});

test("a long seed keeps its digits, in the workflow file too", () => {
  for (const seed of ["18446744073709551615", "9007199254740993"]) {
    const pin = pinOf("run", { ...INPUTS, seed }, JPEG);
    const { pins } = readPins(JSON.parse(JSON.stringify([pin])));
    assert.deepEqual(pins, [pin]);
    assert.equal(caption(pins[0]), `γ_t 2 · γ_I 3.5 · seed ${seed}`);
    assert.ok(details(pin).includes(`seed ${seed}`));
  }
});

test("γ from outside is not known", () => {
  assert.equal(pinOf("run", { ...INPUTS, gamma_i: ["9", 0] }, "").gamma, null);
  assert.equal(pinOf("run", { ...INPUTS, guidance: ["9", 0] }, "").gamma, null);
  assert.equal(caption(pinOf("run", null, "")), "γ ?");
});

test("the oldest pin makes room, a run is pinned once", () => {
  let pins = [];
  for (let run = 0; run < MAX_PINS + 2; run++) pins = withPin(pins, pinOf(`${run}`, INPUTS, ""));
  assert.deepEqual([pins.length, pins[0].id], [MAX_PINS, "2"]);
  assert.equal(withPin(pins, pinOf("5", INPUTS, "")).length, MAX_PINS);
  assert.equal(withoutPin(pins, "5").length, MAX_PINS - 1);
});

test("two are chosen at most, the older one leaves", () => {
  assert.deepEqual(choose([], "a"), ["a"]);
  assert.deepEqual(choose(["a", "b"], "c"), ["b", "c"]);
  assert.deepEqual(choose(["a", "b"], "a"), ["b"]);
});

test("a pin restores γ, seed and tau, as far as it knows them", () => {
  assert.deepEqual(settable(pinOf("run", INPUTS, "")), { gamma_t: 2, gamma_i: 3.5, seed: 7, tau: 0 });
  assert.deepEqual(settable(pinOf("run", { ...INPUTS, guidance: ["9", 0], seed: ["9", 0] }, "")), { tau: 0 });
  assert.deepEqual(settable(pinOf("run", null, "")), {});
});

const good = (id, more = {}) => ({
  id,
  gamma: { t: 1.5, i: 3 },
  settings: { seed: 7, size: "auto" },
  thumb: JPEG,
  ...more,
});

test("γ that a widget held as a text is a number in a pin; what is no setting is left out", () => {
  const pin = pinOf("run", { ...INPUTS, gamma_t: "2", note: { toString: 1 }, gone: null }, JPEG);
  assert.deepEqual(
    [pin.gamma, pin.settings],
    [
      { t: 2, i: 3.5 },
      { seed: 7, tau: 0, aspect_ratio: "1:1" },
    ],
  );
  assert.equal(pinOf("run", { ...INPUTS, gamma_t: "x" }, JPEG).gamma, null);
});

test("what the page wrote is read as it is", () => {
  const pins = [good("a"), good("b", { gamma: null, settings: {} }), pinOf("c", INPUTS, PNG)];
  const again = JSON.parse(JSON.stringify(pins));
  assert.deepEqual(readPins(again), { pins, complete: true });
  assert.deepEqual(readPins(undefined), { pins: [], complete: true });
});

test("a pin of another version loses what is no setting, and stays", () => {
  const settings = { seed: "7", size: null, extra: true, wrapped: { a: 1 }, note: "x".repeat(300), ["__proto__"]: 5 };
  const { pins } = readPins(JSON.parse(JSON.stringify([good("a", { gamma: { t: "1.5", i: 3 }, settings })])));
  assert.deepEqual(
    [pins[0].gamma, pins[0].settings],
    [
      { t: 1.5, i: 3 },
      { seed: 7, note: `${"x".repeat(199)}…` },
    ],
  );
});

test("in the place of all pins, of one, and of each part of one, whatever may come harms nothing", () => {
  soon(() => {
    for (const value of HOSTILE) {
      assert.deepEqual(readPins(value).pins, []);
      const told = [
        good("a"),
        value,
        ...["id", "thumb", "gamma", "settings"].map((part) => good("b", { [part]: value })),
      ];
      told.push(good("c", { gamma: { t: value, i: 1 } }), good("d", { settings: { seed: value } }), good("e"));
      const { pins } = readPins(told);
      assert.deepEqual([pins[0], pins.at(-1)], [good("a"), good("e")], "the good ones are kept");
      for (const pin of pins) {
        assert.ok(pin.id && isThumb(pin.thumb));
        assert.ok(pin.gamma === null || (Number.isFinite(pin.gamma.t) && Number.isFinite(pin.gamma.i)));
        for (const setting of Object.values(pin.settings))
          assert.ok(Number.isFinite(setting) || typeof setting === "string");
        assert.ok(!/NaN|Infinity|undefined|\[object/.test(caption(pin) + details(pin)), details(pin));
        assert.ok(details(pin).length < 5000);
      }
      assert.deepEqual(readPins(pins), { pins, complete: true }, "and what was kept is complete");
    }
  });
});

test("of many the newest stay, of two with one id the newer", () => {
  const told = Array.from({ length: 20_000 }, (_, at) => good(`${at}`));
  assert.deepEqual(
    readPins(told).pins.map(({ id }) => id),
    told.slice(-MAX_PINS).map(({ id }) => id),
  );
  const { pins, complete } = readPins([good("a", { thumb: PNG }), good("b"), good("a"), good("b", { settings: 5 })]);
  assert.deepEqual([pins, complete], [[good("b"), good("a")], false]);
});

test("a pin's picture is a small one of its own", () => {
  for (const address of [JPEG, PNG, WEBP, GIF]) assert.ok(isThumb(address), address);
  const refused = [
    "http://127.0.0.1/a.png",
    "https://a/b.png",
    "//127.0.0.1/a.png",
    "/api/view",
    "prompt",
    "",
    " ",
    `${JPEG} `,
    ` ${JPEG}`,
    "blob:http://127.0.0.1/1",
    "javascript:alert(1)",
    "file:///etc/hosts",
    "data:text/html,<p>",
    "data:image/png,a",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    PNG.replace("png", "svg+xml"),
    PNG.replace("png", "x"),
    PNG.replace(";base64", ";charset=utf-8;base64"),
    PNG.replace("data:", "DATA:"),
    `${PNG}#<svg>`,
    `${PNG}\n`,
    "url(//a)",
    PNG.slice(0, -1),
    "data:image/png;base64,",
    `data:image/png;base64,${btoa("<svg/>  ")}`,
    JPEG + "A".repeat(65536),
    `data:image/jpeg;base64,${"A".repeat(3_000_000)}`,
  ];
  for (const address of refused) assert.ok(!isThumb(address), address.slice(0, 100));
  const head = Buffer.from(PNG.split(",")[1], "base64");
  head.writeUInt32BE(30_000, 16); // pixels across: a few bytes of zeros unpack to gigabytes
  assert.ok(!isThumb(`data:image/png;base64,${head.toString("base64")}`));
});
