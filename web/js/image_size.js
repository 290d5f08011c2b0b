// @ts-check
/** Reads a picture's size from its header, because a few kilobytes can decode to gigabytes. No DOM. */

/** @typedef {{width: number, height: number}} Size  in pixels */

/**
 * The size in the header of a JPEG, PNG, GIF or WebP; null for anything else, and if the bytes end before the size.
 * @param {Uint8Array} bytes @returns {Size | null}
 */
export function claimedSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (/** @type {number} */ at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  try {
    if (view.getUint16(0) === 0xffd8) return ofJpeg(view);
    if (word(0) === "\x89PNG" && word(12) === "IHDR") return { width: view.getUint32(16), height: view.getUint32(20) };
    if (word(0) === "GIF8") return ofGif(view);
    if (word(0) === "RIFF" && word(8) === "WEBP") return ofWebp(view, word(12));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the bytes end before the size
  }
  return null;
}

/** @param {DataView} view @returns {Size | null} */
function ofJpeg(view) {
  for (let at = 2; view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    if (marker === 0xff)
      at += 1; // a fill byte
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7))
      at += 2; // markers without a length
    else at += 2 + view.getUint16(at + 2);
  }
  return null;
}

/** The first frame may be larger than the logical screen: browsers then use the frame's size. @param {DataView} view
 *  @returns {Size | null} */
function ofGif(view) {
  const colours = (/** @type {number} */ flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + colours(view.getUint8(10));
  while (view.getUint8(at) === 0x21) {
    at += 2;
    while (view.getUint8(at)) at += 1 + view.getUint8(at);
    at += 1;
  }
  if (view.getUint8(at) !== 0x2c) return null;
  const [left, top, width, height] = [1, 3, 5, 7].map((offset) => view.getUint16(at + offset, true));
  const [across, down] = [view.getUint16(6, true), view.getUint16(8, true)];
  return { width: Math.max(across, left + width), height: Math.max(down, top + height) };
}

/** @param {DataView} view @param {string} form @returns {Size | null} */
function ofWebp(view, form) {
  const three = (/** @type {number} */ at) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  if (form === "VP8X") return { width: three(24) + 1, height: three(27) + 1 };
  if (form === "VP8 ") return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  if (form !== "VP8L") return null;
  const bits = view.getUint32(21, true);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}
