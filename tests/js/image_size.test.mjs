import assert from "node:assert/strict";
import { test } from "node:test";
import { claimedSize } from "../../web/js/image_size.js";
import * as pictures from "./pictures.mjs";

const bytesOf = (address) => Uint8Array.from(atob(address.split(",")[1]), (letter) => letter.charCodeAt(0));

test("the size of each kind of picture", () => {
  for (const name of ["JPEG", "PNG", "WEBP", "WEBP_LOSSLESS"]) {
    assert.deepEqual(claimedSize(bytesOf(pictures[name])), { width: 64, height: 64 }, name);
  }
  assert.deepEqual(claimedSize(bytesOf(pictures.GIF)), { width: 1, height: 1 });
});

test("a picture that ends early, and what is none, has no size and harms nothing", () => {
  for (const address of Object.values(pictures)) {
    const whole = bytesOf(address);
    for (let length = 0; length < whole.length; length++) {
      const size = claimedSize(whole.slice(0, length));
      assert.ok(size === null || size.width <= 64);
    }
  }
  for (const text of [
    "",
    "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "BM" + "\0".repeat(60),
    "RIFF0000WEBPVP9 ".repeat(4),
  ]) {
    assert.equal(claimedSize(new TextEncoder().encode(text)), null);
  }
  assert.equal(claimedSize(new Uint8Array(65536).fill(0xff)), null);
});

test("a frame that is larger than its GIF counts", () => {
  const picture = bytesOf(pictures.GIF);
  const frame = picture.indexOf(0x2c, 13);
  picture[frame + 6] = 0x40; // width: 0x4001
  assert.deepEqual(claimedSize(picture), { width: 0x4001, height: 1 });
});

test("markers without a length hide no size", () => {
  const picture = bytesOf(pictures.JPEG);
  const hidden = new Uint8Array([...picture.slice(0, 2), 0xff, 0xff, 0x01, 0xff, 0xd0, ...picture.slice(2)]);
  assert.deepEqual(claimedSize(hidden), { width: 64, height: 64 });
});
