// @ts-check
/** A box in a picture: between the text that Subject Segmentation stores, and shares of the picture's sides. */

/** @typedef {{left: number, top: number, width: number, height: number}} Shares  of the picture's sides, 0 to 1 */
/** @typedef {{x: number, y: number}} Point  shares of the sides */

const SMALLEST = 2; // pixels; less is a click
const BOX = /^\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:of\s*(\d+)\s*[x×]\s*(\d+)\s*)?$/;

/** The box between two corners, within the picture. @param {Point} one @param {Point} other @returns {Shares} */
export function between(one, other) {
  const [x, y] = [one, other].map(({ x, y }) => [x, y].map((share) => Math.min(1, Math.max(0, share))));
  const [left, top] = [Math.min(x[0], y[0]), Math.min(x[1], y[1])];
  return { left, top, width: Math.abs(x[0] - y[0]), height: Math.abs(x[1] - y[1]) };
}

/**
 * The text of a box drawn on a picture of that size, in whole pixels; "" for a mere click.
 * @param {Shares} shares @param {number} width @param {number} height  of the picture, in pixels
 */
export function textOfBox({ left, top, width: across, height: down }, width, height) {
  const [x, y] = [Math.round(left * width), Math.round(top * height)];
  const [right, bottom] = [Math.round((left + across) * width), Math.round((top + down) * height)];
  if (right - x < SMALLEST || bottom - y < SMALLEST) return "";
  return `${x}, ${y}, ${right - x}, ${bottom - y} of ${width}x${height}`;
}

/**
 * Where a stored box lies in a picture of that size; null for none, and for one of another picture.
 * @param {unknown} text @param {number} width @param {number} height @returns {Shares | null}
 */
export function boxOfText(text, width, height) {
  const found = typeof text === "string" ? BOX.exec(text) : null;
  if (!found) return null;
  const [x, y, across, down, of_width, of_height] = found.slice(1).map(Number);
  if (found[5] !== undefined && (of_width !== width || of_height !== height)) return null;
  if (![x, y, across, down].every(Number.isFinite)) return null;
  return between({ x: x / width, y: y / height }, { x: (x + across) / width, y: (y + down) / height });
}
