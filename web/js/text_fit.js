// @ts-check
/** Texts in a drawing: smaller ones where they are too wide, none on top of another. No DOM. */

const LEAST = 0.6; // of the size

/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/** The font size at which a text is no wider than its room, or the least that can be read. @param {number} size
 *  @param {number} width of the text at that size @param {number} room */
export function sizeInRoom(size, width, room) {
  return width > room ? Math.max(LEAST, room / width) * size : size;
}

/** Whether two boxes overlap. @param {Box} a @param {Box} b */
export function overlap(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}
