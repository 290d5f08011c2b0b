// @ts-check
/**
 * Lists of numbers as people of any country write them, read as by echogen_core/utils/number_list.py and
 * number_text.py; tests/number_lists.json holds both to it. Pure functions.
 */

const MAX_TEXT = 10_000; // characters; nobody writes longer lists
const MAX_PART = 100;

const LIST_COMMA = "、"; // a comma that no language has between a number's digits
const ALIKE = {
  "‐‑‒–—―−﹣": "-",
  "〜∼": "~",
  "’ʼ′٬": "'",
  "…‥": "..",
  "٫": ".",
  "٪": "%",
  "؛": ";",
  "،": LIST_COMMA,
  "\t\r\v\f\u0085\u2028\u2029": "\n",
};
/** @type {Record<string, string>} */
const SIGNS = Object.fromEntries(
  Object.entries(ALIKE).flatMap(([signs, plain]) => [...signs].map((sign) => [sign, plain])),
);
const INVISIBLE = /[\u200b\u200e\u200f\u061c\u2060\ufeff]+/g; // copied with other text
/** @type {Record<string, number>} */
const FRACTIONS = { "¼": 0.25, "½": 0.5, "¾": 0.75 };

const GROUPED = /(?<![\d.,'_])\d{1,3}(?:(?:'\d{3})+|(?:_\d{3})+)(?![\d'_])/g;
const SPACED = /(?<![\d.])[1-9]\d{0,2}(?: \d{3})+(?![\d.])|\d +[¼½¾]/;
const STEP_COMMA = /(\( *\+ *\d{0,20}),(\d{1,20} *\))/g;
const DECIMAL = "(?:\\d+(?:\\.(?!\\.)\\d*)?|\\.\\d+)(?:e[+-]?\\d{1,3})?";
const CHAIN = new RegExp(`(?<!\\d)${DECIMAL}(?:,${DECIMAL})+`, "g");
const LEADING = /(?<![\d.,)\]¼½¾]),(\d{1,20})/g;
const THOUSANDS = /^[1-9]\d{0,2}(?:,\d{3})+$/;
const POINTS_AND_COMMA = /(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+,\d+(?![\d.])/; // 1.000,5
const LISTED = /, +[\d.]|[\d.] +,|、/; // commas that separate
const POINT = /(?<!\.)\.(?!\.)/;

// Unambiguous: two quantifiers that match the same digits would backtrack for ever on a long text.
const NUMBER = `[+-]?(?:\\d*[¼½¾]|${DECIMAL})`;
const ITEM = new RegExp(
  `(${NUMBER})(?: *(?:-|~|\\.\\.\\.?(?!\\.)|to) *(${NUMBER})(?: *\\( *\\+ *(${NUMBER}) *\\)| *\\[ *(\\d+) *\\])?)?`,
  "y",
);
const SEPARATORS = /[ \n,;、]*/y; // matches the empty text too

/**
 * The numbers of a text, in order; null for a text that Python refuses.
 * @param {string} text @param {number} most  values at most @returns {number[] | null}
 */
export function parseNumbers(text, most) {
  const plain = text.length > MAX_TEXT ? null : settledCommas(plainText(text));
  if (plain === null) return null;
  const numbers = [];
  let start = separatorsEnd(plain, 0);
  while (start < plain.length) {
    ITEM.lastIndex = start;
    const item = ITEM.exec(plain);
    if (!item || item[0].length > MAX_PART) return null;
    const end = start + item[0].length;
    start = separatorsEnd(plain, end);
    if (start === end && end < plain.length) return null; // something else follows
    numbers.push(...valuesOf(item, most));
    if (numbers.length > most) return null;
  }
  return numbers.length && numbers.every(Number.isFinite) ? numbers : null;
}

/** Where the separators at a place end, if there are any; else that place. @param {string} text @param {number} at */
function separatorsEnd(text, at) {
  SEPARATORS.lastIndex = at;
  SEPARATORS.test(text);
  return SEPARATORS.lastIndex;
}

/** @param {RegExpExecArray} item @param {number} most @returns {number[]} */
function valuesOf([, first, last, size, values], most) {
  const start = written(first);
  if (last === undefined) return [start];
  const [end, step] = [written(last), written(size ?? "1")];
  if (!Number.isFinite(start + end) || step <= 0) return [NaN];
  const all = values ? Number(values) : Math.floor(Math.abs(end - start) / step + 1e-9) + 1;
  const count = Math.min(all, most + 1);
  const way = values ? (end - start) / Math.max(1, Number(values) - 1) : (end < start ? -1 : 1) * step;
  return Array.from({ length: count }, (_, index) => Number((start + index * way).toPrecision(10)));
}

/** The number that a text matching NUMBER stands for. @param {string} text */
function written(text) {
  const part = FRACTIONS[text.slice(-1)];
  if (part === undefined) return Number(text) + 0; // no -0
  const number = Number(text.slice(0, -1).replace(/^[+-]/, "")) + part;
  return text[0] === "-" ? -number : number;
}

/** ASCII digits and signs, lower case, no brackets around the whole. @param {string} text */
function plainText(text) {
  const listed = /[;；؛]/.test(text) ? text : text.replace(/，/g, LIST_COMMA); // without semicolons, nobody's decimal comma
  const plain = listed.replace(/[^ -~]/gu, plainSign).toLowerCase().replace(INVISIBLE, kept).trim();
  const bare = isPair(plain) ? plain.slice(1, -1).trim() : plain;
  return bare.replace(GROUPED, (grouped) => grouped.replace(/['_]/g, ""));
}

/** ASCII for a sign of another script, a full-width one, a space or line break of any kind. @param {string} sign */
function plainSign(sign) {
  if (sign in SIGNS) return SIGNS[sign];
  if (/\p{Nd}/u.test(sign)) return digit(sign);
  if (/[\uff01-\uff5e]/.test(sign)) return String.fromCharCode(sign.charCodeAt(0) - 0xfee0);
  return /\p{Zs}/u.test(sign) ? " " : sign;
}

/** Nothing in place of invisible characters, except inside a number, which can't be told from two.
 *  @param {string} signs @param {number} at @param {string} text */
const kept = (signs, at, text) =>
  /[\d.]/.test(text[at - 1] ?? "") && /[\d.]/.test(text[at + signs.length] ?? "") ? "\u200b" : "";

/** A decimal digit of another script: each script's ten follow one another. @param {string} letter */
function digit(letter) {
  const code = /** @type {number} */ (letter.codePointAt(0));
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
  return String((code - zero) % 10);
}

/** Whether the last sign closes the bracket that the first one opens. @param {string} text */
function isPair(text) {
  if (!["[]", "()", "{}"].includes(text.slice(0, 1) + text.slice(-1))) return false;
  const inside = text.slice(1, -1);
  const [opening, closing] = [inside.indexOf(text[0]), inside.indexOf(text.slice(-1))];
  return closing < 0 || (opening > -1 && opening < closing);
}

/** The text with commas between numbers only; null where one could mean two things. @param {string} text */
function settledCommas(text) {
  if (SPACED.test(text)) return null;
  const points = POINT.test(text);
  const stepped = text.replace(STEP_COMMA, "$1.$2");
  if (stepped === text && !text.includes(";")) return separates(text, points) ? text : null;
  const led = stepped.replace(LEADING, ".$1");
  const chains = led.match(CHAIN) ?? [];
  if (!chains.length && led === stepped) return stepped;
  if (points || chains.some((chain) => !/^[^.,]+,[^.,]+$/.test(chain)) || LISTED.test(led)) return null;
  return led.replace(CHAIN, (chain) => chain.replace(",", "."));
}

/** Whether every comma of a text surely separates. @param {string} text @param {boolean} points  some numbers have one */
function separates(text, points) {
  if (POINTS_AND_COMMA.test(text) || text.search(LEADING) > -1) return false;
  const chains = (text.match(CHAIN) ?? []).map((chain) => chain.split(","));
  const listed = !points && chains.some((parts) => parts.length > 2);
  const pointed = (/** @type {string[]} */ parts) => parts.slice(1).every((part, at) => /[.e]/.test(parts[at] + part));
  return chains.every((parts) => !THOUSANDS.test(parts.join()) && (pointed(parts) || (listed && inOrder(parts))));
}

/** Whether whole numbers rise or fall, as those of a list do. @param {string[]} parts */
function inOrder(parts) {
  if (!parts.every((part) => /^\d+$/.test(part))) return false;
  const steps = parts.slice(1).map((part, at) => Number(part) - Number(parts[at]));
  return steps.every((step) => step > 0) || steps.every((step) => step < 0);
}
