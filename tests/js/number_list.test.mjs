import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parsePoints } from "../../web/js/schedule_maths.js";
import { parseNumbers } from "../../web/js/number_list.js";
import { HOSTILE, soon } from "./hostile.mjs";

const CASES = JSON.parse(readFileSync(new URL("../number_lists.json", import.meta.url), "utf-8"));

test("what has one reading is understood, as Python understands it", () => {
  for (const [text, numbers] of CASES.read) assert.deepEqual(parsePoints(text), numbers, text);
});

test("what Python refuses is refused", () => {
  for (const [text] of CASES.refused) assert.equal(parsePoints(text), null, text);
});

test("long texts are read or refused at once", () => {
  soon(() => {
    for (const unit of ["1", "-", " ", ",", "\n", ".", "1-", "1 ", "0-8 [", "(+", "9.9", "1,", "1'", "½", "1e", "٣", "\u200b", "1\u200b", ",.5"]) {
      for (const length of [300_000, 9000]) {
        const long = unit.repeat(length / unit.length);
        parseNumbers(long, 32);
        parseNumbers(`1${long}x`, 32);
      }
    }
  });
  assert.equal(parseNumbers(`1, ${"9".repeat(400)}-${"9".repeat(400)}`, 32), null);
  assert.deepEqual(parseNumbers(`${",".repeat(5000)}1,${" ".repeat(1000)}2\n`, 32), [1, 2]);
});

test("texts of any kind give numbers or nothing", () => {
  for (const value of HOSTILE) {
    const numbers = parseNumbers(String(value === Object(value) ? typeof value : value), 32);
    assert.ok(numbers === null || numbers.every(Number.isFinite));
  }
});
