import assert from "node:assert/strict";
import { test } from "node:test";
import { coerced, exactJson, exactNumber, filled, isLongWhole, isRecord, listOf, numberOf, ownProperty, roundedSeed, sameItems, textOf } from "../../web/js/plain_values.js";
import { HOSTILE, soon } from "./hostile.mjs";

test("whatever comes, each reading gives its own kind", () => {
  soon(() => {
    for (const value of HOSTILE) {
      const number = numberOf(value);
      assert.ok(Number.isNaN(number) || Number.isFinite(number));
      assert.equal(typeof textOf(value), "string");
      assert.ok(textOf(value).length <= 200);
      assert.ok(Array.isArray(listOf(value)));
      assert.equal(ownProperty(value, "polluted"), undefined);
      assert.equal(ownProperty({ [String("a")]: value }, "a"), value);
    }
  });
});

test("numbers are numbers or decimals, as the server takes them", () => {
  for (const [value, number] of [
    [2.5, 2.5],
    ["2.5", 2.5],
    [" -1e2 ", -100],
    [".5", 0.5],
  ])
    assert.equal(numberOf(value), number);
  for (const value of ["", " ", "0x10", "1e999", "Infinity", "5 5", "1-2", null, true, [5], { valueOf: 1 }]) {
    assert.ok(Number.isNaN(numberOf(value)), String(value));
  }
});

test("whole numbers that JavaScript would change are texts", () => {
  const document = `{"seed": 18446744073709551615, "other": [9007199254740993,-1.5e3, 7], "text": "a \\"9007199254740993"}`;
  assert.deepEqual(exactJson(document), {
    seed: "18446744073709551615",
    other: ["9007199254740993", -1500, 7],
    text: 'a "9007199254740993',
  });
  assert.deepEqual(exactJson("[9007199254740994, 12345678901234567.5]"), [9007199254740994, 12345678901234567.5]);
  assert.ok(isLongWhole("18446744073709551615") && isLongWhole("9007199254740993"));
  for (const value of ["9007199254740994", "7", "0123456789012345678", "1e30", 2 ** 60, null, "9".repeat(300)]) {
    assert.ok(!isLongWhole(value), String(value));
  }
  assert.throws(() => exactJson("{"), SyntaxError);
});

test("a number that JavaScript would change is its digits, all others are numbers", () => {
  assert.deepEqual(["9007199254740993", "9007199254740994", "7", 2.5].map(exactNumber), ["9007199254740993", 9007199254740994, 7, 2.5]);
  for (const value of ["", "x", null, [5], "1e999"]) assert.ok(Number.isNaN(exactNumber(value)), String(value));
});

test("a label is filled in with the value as it is", () => {
  assert.equal(filled("set by {node}.", "node", "“$& {node}”"), "set by “$& {node}”.");
  assert.equal(filled("", "node", "A"), "A");
});

test("a seed that the page rounds is told by the digits that are sent", () => {
  const read = (/** @type {string} */ digits) => roundedSeed(JSON.parse(digits));
  assert.equal(read("9007199254740993"), "9007199254740992");
  assert.equal(read("18446744073709551615"), JSON.stringify(18446744073709551615));
  assert.equal(roundedSeed("18446744073709551615"), "18446744073709552000");
  for (const seed of [0, 7, 9007199254740991, -1e18, "x", "", null, undefined, NaN]) assert.equal(roundedSeed(seed), "");
});

test("own properties alone are read", () => {
  const polluted = Object.create({ inherited: 1 });
  for (const name of ["inherited", "toString", "__proto__", "constructor"])
    assert.equal(ownProperty(polluted, name), undefined);
  assert.equal(ownProperty([1], "0"), undefined);
  assert.ok(!isRecord(null) && !isRecord([]) && isRecord({}));
});

test("a widget's value keeps the kind that it was made with", () => {
  for (const value of HOSTILE) {
    for (const made of [2.5, "1:1", true]) {
      const mended = coerced(value, made);
      assert.equal(typeof mended, typeof made);
      assert.ok(typeof mended !== "number" || Number.isFinite(mended));
      assert.equal(coerced(mended, made), mended, "what fits stays");
    }
  }
  assert.deepEqual([coerced("7", 0), coerced(99, 0), coerced(3, "1-4"), coerced("x", 2)], [7, 99, "3", 2]);
});

test("lists are the same where all in them is", () => {
  assert.ok(sameItems([1, NaN, undefined], [1, NaN, undefined]));
  assert.ok(!sameItems([1], [1, 2]) && !sameItems([{}], [{}]) && !sameItems([0], ["0"]));
});
