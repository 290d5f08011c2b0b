// @ts-check
/** Safe reading of untrusted values, from workflow files and the server's answers. Pure functions. */

const MAX_TEXT = 200; // characters of a name that is shown
const DECIMAL = /^[\d.eE+\s-]+$/; // what Python's float() accepts too: no hexadecimal, no words

/** Whether a value is an object, not an array. @param {unknown} value @returns {value is Record<string, unknown>} */
export const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A record's own property; undefined for inherited ones and for anything but a record.
 * @param {unknown} record @param {string} name
 */
export const ownProperty = (record, name) =>
  isRecord(record) && Object.hasOwn(record, name) ? record[name] : undefined;

/** An array as it is, [] for anything else. @param {unknown} value @returns {unknown[]} */
export const listOf = (value) => (Array.isArray(value) ? value : []);

/** A finite number, or one written as text, since the server accepts both; NaN for anything else.
 *  @param {unknown} value */
export function numberOf(value) {
  const written = typeof value === "string" && DECIMAL.test(value) && value.trim() !== "";
  const number = typeof value === "number" || written ? Number(value) : NaN;
  return Number.isFinite(number) ? number : NaN;
}

/** A text or number as at most `max` characters; "" for anything else. @param {unknown} value @param {number} [max] */
export function textOf(value, max = MAX_TEXT) {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

/** A label with a value in place of `{name}`; the value alone if there is no label.
 *  @param {string} label @param {string} name @param {string} value */
export const filled = (label, name, value) => (label || `{${name}}`).replace(`{${name}}`, () => value);

const LONG_WHOLE = /^[1-9]\d{15,19}$/; // JavaScript's numbers hold 15 digits; a seed has up to 20
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** Whether a value is a whole number, written as text because JavaScript's numbers would change its digits.
 *  @param {unknown} value @returns {value is string} */
export const isLongWhole = (value) =>
  typeof value === "string" && LONG_WHOLE.test(value) && String(Number(value)) !== value;

/** A number as `numberOf`, except a long whole one, which stays a text. @param {unknown} value */
export const exactNumber = (value) => (isLongWhole(value) ? value : numberOf(value));

/** The digits of a seed too large for JavaScript's numbers to be exact, as they are sent to the server; "" for others.
 *  @param {unknown} seed */
export function roundedSeed(seed) {
  const number = numberOf(seed);
  return number > Number.MAX_SAFE_INTEGER ? String(number) : "";
}

/** A JSON document, with long positive whole numbers, such as seeds, as texts. All other numbers are JavaScript's, so
 *  a long one with a sign, a point or an exponent loses digits. @param {string} text @returns {any} */
export const exactJson = (text) =>
  JSON.parse(text.replace(TOKENS, (token) => (isLongWhole(token) ? `"${token}"` : token)));

/**
 * A value in the type of a widget's default: as it is, or converted (7 from "7"); the default for anything else.
 * @template T
 * @param {unknown} value @param {T} initial @returns {T}
 */
export function coerced(value, initial) {
  const number = numberOf(value);
  /** @type {any} */
  let fit = typeof value === typeof initial ? value : initial;
  if (typeof initial === "number") fit = Number.isNaN(number) ? initial : number;
  if (typeof initial === "string" && typeof value === "number" && !Number.isNaN(number)) fit = String(value);
  return fit;
}

/** Whether two lists have identical items. @param {readonly unknown[]} one @param {readonly unknown[]} other */
export const sameItems = (one, other) =>
  one.length === other.length && one.every((item, at) => Object.is(item, other[at]));
