import assert from "node:assert/strict";
import { test } from "node:test";
import { fitting, isRecord, listOf, numberOf, own, same, textOf } from "../../web/js/outside.js";
import { HOSTILE, soon } from "./hostile.mjs";

test("whatever comes, each reading gives its own kind", () => {
  soon(() => {
    for (const value of HOSTILE) {
      const number = numberOf(value);
      assert.ok(Number.isNaN(number) || Number.isFinite(number));
      assert.equal(typeof textOf(value), "string");
      assert.ok(textOf(value).length <= 200);
      assert.ok(Array.isArray(listOf(value)));
      assert.equal(own(value, "polluted"), undefined);
      assert.equal(own({ [String("a")]: value }, "a"), value);
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

test("own properties alone are read", () => {
  const polluted = Object.create({ inherited: 1 });
  for (const name of ["inherited", "toString", "__proto__", "constructor"])
    assert.equal(own(polluted, name), undefined);
  assert.equal(own([1], "0"), undefined);
  assert.ok(!isRecord(null) && !isRecord([]) && isRecord({}));
});

test("a widget's value keeps the kind that it was made with", () => {
  for (const value of HOSTILE) {
    for (const made of [2.5, "1:1", true]) {
      const mended = fitting(value, made);
      assert.equal(typeof mended, typeof made);
      assert.ok(typeof mended !== "number" || Number.isFinite(mended));
      assert.equal(fitting(mended, made), mended, "what fits stays");
    }
  }
  assert.deepEqual([fitting("7", 0), fitting(99, 0), fitting(3, "1-4"), fitting("x", 2)], [7, 99, "3", 2]);
});

test("lists are the same where all in them is", () => {
  assert.ok(same([1, NaN, undefined], [1, NaN, undefined]));
  assert.ok(!same([1], [1, 2]) && !same([{}], [{}]) && !same([0], ["0"]));
});
