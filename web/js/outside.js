// @ts-check
/** Values from outside, as workflow files and the server's answers have them, in plain forms. Pure functions. */

const LONGEST = 200; // characters of a name that is shown
const DECIMAL = /^[\d.eE+\s-]+$/; // what a server's float() also takes: no hexadecimal, no words

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A record's own property; what its prototype has is none of it. @param {unknown} record @param {string} name */
export const own = (record, name) => (isRecord(record) && Object.hasOwn(record, name) ? record[name] : undefined);

/** @param {unknown} value @returns {unknown[]} */
export const listOf = (value) => (Array.isArray(value) ? value : []);

/** A finite number, also one written in digits, as the server takes both; NaN for all else. @param {unknown} value */
export function numberOf(value) {
  const written = typeof value === "string" && DECIMAL.test(value) && value.trim() !== "";
  const number = typeof value === "number" || written ? Number(value) : NaN;
  return Number.isFinite(number) ? number : NaN;
}

/** A text or a number in at most so many characters; "" for all else. @param {unknown} value @param {number} [most] */
export function textOf(value, most = LONGEST) {
  const text = typeof value === "string" || typeof value === "number" ? String(value) : "";
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/**
 * A widget's value if it is of the kind that the widget was made with; what stands for one in another form (7 as "7")
 * in the widget's form, and what it was made with in place of all else.
 * @template T
 * @param {unknown} value @param {T} made @returns {T}
 */
export function fitting(value, made) {
  const number = numberOf(value);
  /** @type {any} */
  let fit = typeof value === typeof made ? value : made;
  if (typeof made === "number") fit = Number.isNaN(number) ? made : number;
  if (typeof made === "string" && typeof value === "number" && !Number.isNaN(number)) fit = String(value);
  return fit;
}

/** Whether two lists hold the very same. @param {readonly unknown[]} one @param {readonly unknown[]} other */
export const same = (one, other) => one.length === other.length && one.every((item, at) => Object.is(item, other[at]));
