// @ts-check
/** Small copies of pictures, to be stored in workflow files. */

const SIDE = 192; // of a copy, in pixels
const MOST_BYTES = 12_000; // eight pins add a tenth of a megabyte to a workflow
const QUALITIES = [0.85, 0.7, 0.5, 0.3, 0.1]; // noise needs the last; what doesn't fit then is made smaller

/**
 * A copy of at most 192 pixels a side and 12,000 bytes, as a data: URL: WebP, or JPEG in browsers that write no WebP.
 * @param {Blob} picture @returns {Promise<string>}
 */
export async function thumbnail(picture) {
  const bitmap = await createImageBitmap(picture);
  for (let side = SIDE; ; side /= 2) {
    const canvas = copied(bitmap, side);
    for (const quality of QUALITIES) {
      const address = encoded(canvas, quality);
      if (bytesOf(address) <= MOST_BYTES) return address;
    }
  }
}

/** @param {ImageBitmap} bitmap @param {number} side  the longest, at most */
function copied(bitmap, side) {
  const share = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.round(side * share) || 1);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas @param {number} quality */
function encoded(canvas, quality) {
  const address = canvas.toDataURL("image/webp", quality);
  return address.startsWith("data:image/webp") ? address : canvas.toDataURL("image/jpeg", quality);
}

/** Bytes of a file as a data: URL has them, in base64. @param {string} address */
const bytesOf = (address) => Math.ceil((address.length - address.indexOf(",") - 1) * 0.75);
