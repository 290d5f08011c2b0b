/** Values as a broken or a hostile file may have them, in the place of any other. */

/** A list so deep that what goes down it step by step runs out of stack. */
function deep(levels) {
  let made = [];
  for (let level = 0; level < levels; level++) made = [made];
  return made;
}

export const HOSTILE = [
  undefined,
  null,
  true,
  false,
  NaN,
  Infinity,
  -Infinity,
  JSON.parse("1e999"),
  1e308,
  -5,
  "",
  " ",
  "5",
  "0x10",
  "1e999",
  "NaN",
  "<b>x</b>",
  "constructor",
  "__proto__",
  "toString",
  "x".repeat(3_000_000),
  "1".repeat(300_000) + "x",
  [],
  [[5]],
  [1, 2],
  {},
  { length: 9 },
  { toString: 1, valueOf: 1 },
  JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 1}'),
  deep(100_000),
  Array(20_000).fill(null),
];

/** What a call takes at most, in milliseconds, on a busy machine; what is quadratic in such a text takes minutes. */
export const SOON = 5000;

/** @param {() => void} what */
export function soon(what) {
  const start = performance.now();
  what();
  const took = performance.now() - start;
  if (took > SOON) throw new Error(`it took ${took} ms`);
}
