import assert from "node:assert/strict";
import { test } from "node:test";
import { between, boxOfText, lookOf, textOfBox } from "../../web/js/box_maths.js";

test("a box is the same whichever corner the drag begins at, and stays in the picture", () => {
  const box = between({ x: 0.25, y: 0.5 }, { x: 0.75, y: 1.5 });
  assert.deepEqual(box, { left: 0.25, top: 0.5, width: 0.5, height: 0.5 });
  for (const [one, other] of [
    [{ x: 0.75, y: 0.5 }, { x: 0.25, y: 9 }],
    [{ x: 0.75, y: 7 }, { x: 0.25, y: 0.5 }],
  ]) {
    assert.deepEqual(between(one, other), box);
  }
});

test("the text is in whole pixels of the picture, and comes back as the same box", () => {
  const text = textOfBox({ left: 0.25, top: 0.5, width: 0.5, height: 0.25 }, 400, 200);
  assert.equal(text, "100, 100, 200, 50 of 400x200");
  assert.deepEqual(boxOfText(text, 400, 200), { left: 0.25, top: 0.5, width: 0.5, height: 0.25 });
  assert.deepEqual(boxOfText("100, 100, 200, 50", 400, 200), { left: 0.25, top: 0.5, width: 0.5, height: 0.25 });
  assert.equal(textOfBox(between({ x: 0.5, y: 0.5 }, { x: 0.5, y: 0.5 }), 400, 200), "", "a click is no box");
});

test("a box of another picture, and what is no box, is none", () => {
  for (const text of ["100, 100, 200, 50 of 300x200", "", "1,2,3", "a", "1.2.3, 1, 1, 1", null, 7, {}, []]) {
    assert.equal(boxOfText(text, 400, 200), null, String(text));
  }
});

test("a box is of the picture that it was drawn on, or one that is hardly off, not of another of that size", () => {
  const [side, pixels] = [8, new Uint8ClampedArray(8 * 8 * 4).fill(255)];
  for (let at = 0; at < pixels.length; at += 4) [pixels[at], pixels[at + 1]] = [at / 4 < 32 ? 0 : 128, at % 32 < 16 ? 40 : 200];
  const look = lookOf(pixels, side);
  assert.equal(look, "02f02f0cf0cf".repeat(2) + "82f82f8cf8cf".repeat(2), "rows of R, G and B");
  const box = { left: 0.25, top: 0.5, width: 0.5, height: 0.25 };
  const text = textOfBox(box, 400, 200, look);
  assert.equal(text, `100, 100, 200, 50 of 400x200 #${look}`);
  for (const same of [look, `1${look.slice(1)}`]) assert.deepEqual(boxOfText(text, 400, 200, same), box);
  assert.deepEqual(boxOfText(text.split(" #")[0], 400, 200, look), box, "drawn before looks were stored");
  for (const other of [`2${look.slice(1)}`, "f".repeat(48)]) assert.equal(boxOfText(text, 400, 200, other), null);
});
