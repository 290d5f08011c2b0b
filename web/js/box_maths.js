// @ts-check
/** A box in a picture: between the text that Subject Segmentation stores, and shares of the picture's sides. */

/** @typedef {{left: number, top: number, width: number, height: number}} Shares  of the picture's sides, 0 to 1 */
/** @typedef {{x: number, y: number}} Point  shares of the sides */

const SMALLEST = 2; // pixels; less is a click
const BOX = /^\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:of\s*(\d+)\s*[x×]\s*(\d+)\s*(?:#([0-9a-f]{48}))?\s*)?$/;
const CELLS = 4; // across and down

/** The box between two corners, within the picture. @param {Point} one @param {Point} other @returns {Shares} */
export function between(one, other) {
  const [x, y] = [one, other].map(({ x, y }) => [x, y].map((share) => Math.min(1, Math.max(0, share))));
  const [left, top] = [Math.min(x[0], y[0]), Math.min(x[1], y[1])];
  return { left, top, width: Math.abs(x[0] - y[0]), height: Math.abs(x[1] - y[1]) };
}

/**
 * The mean colours of 4×4 cells of a square picture, row by row, a hexadecimal digit for R, G and B each: pictures of
 * one size are told apart by them. echogen_core/subject/drawn_box.py does the same.
 * @param {ArrayLike<number>} pixels  RGBA, 0 to 255 @param {number} side  of the square; a multiple of 4
 */
export function lookOf(pixels, side) {
  const sums = new Array(CELLS * CELLS * 3).fill(0);
  const cell = side / CELLS;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = 3 * (CELLS * Math.floor(y / cell) + Math.floor(x / cell));
      for (let channel = 0; channel < 3; channel++) sums[at + channel] += pixels[4 * (y * side + x) + channel];
    }
  }
  return sums.map((sum) => Math.min(15, Math.floor((sum / cell / cell / 255) * 16)).toString(16)).join("");
}

/** Whether two looks may be one picture's: a level off is rounding. @param {string} one @param {string} other */
function alike(one, other) {
  return [...one].every((digit, at) => Math.abs(parseInt(digit, 16) - parseInt(other[at], 16)) <= 1);
}

/**
 * The text of a box drawn on a picture of that size, in whole pixels; "" for a mere click.
 * @param {Shares} shares @param {number} width @param {number} height  of the picture, in pixels
 * @param {string} [look]  of the picture
 */
export function textOfBox({ left, top, width: across, height: down }, width, height, look) {
  const [x, y] = [Math.round(left * width), Math.round(top * height)];
  const [right, bottom] = [Math.round((left + across) * width), Math.round((top + down) * height)];
  if (right - x < SMALLEST || bottom - y < SMALLEST) return "";
  return `${x}, ${y}, ${right - x}, ${bottom - y} of ${width}x${height}${look ? ` #${look}` : ""}`;
}

/**
 * Where a stored box lies in a picture of that size; null for none, and for one of another picture.
 * @param {unknown} text @param {number} width @param {number} height @param {string} [look]  of the picture
 * @returns {Shares | null}
 */
export function boxOfText(text, width, height, look) {
  const found = typeof text === "string" ? BOX.exec(text) : null;
  if (!found) return null;
  const [x, y, across, down, of_width, of_height] = found.slice(1).map(Number);
  if (found[5] !== undefined && (of_width !== width || of_height !== height)) return null;
  if (found[7] && look && !alike(found[7], look)) return null;
  if (![x, y, across, down].every(Number.isFinite)) return null;
  return between({ x: x / width, y: y / height }, { x: (x + across) / width, y: (y + down) / height });
}
