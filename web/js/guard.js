// @ts-check
/** One view's error reaches no other: it is said, once for each view, and all others go on. No page, no app. */

import { textOf } from "./outside.js";

/** @typedef {{node?: any}} Owner  a view, or what else an error is said for */

/** @type {WeakSet<Owner>} */
const said = new WeakSet();

/**
 * Does something for a view; where that fails, what is given instead.
 * @template T @param {Owner} owner @param {() => T} what @param {T} otherwise @returns {T}
 */
export function attempt(owner, what, otherwise) {
  try {
    return what();
  } catch (error) {
    if (!said.has(owner)) console.error(`EchoGen: ${nameOf(owner.node)} cannot be shown as it is.`, error);
    said.add(owner);
    return otherwise;
  }
}

/** A node as the person at the page knows it. @param {any} node */
export const nameOf = (node) => `“${textOf(node?.title)}” #${textOf(node?.id)}`;
