// @ts-check
/** Keeps one view's error from the others: it is logged once per view, and the others carry on. No DOM, no app. */

import { textOf } from "./plain_values.js";

/** @typedef {{node?: any}} Owner  a view, or whatever else an error is logged for */

/** @type {WeakSet<Owner>} */
const reported = new WeakSet();

/**
 * The result of an action for a view; if it throws, the fallback.
 * @template T @param {Owner} owner @param {() => T} action @param {T} fallback @returns {T}
 */
export function attempt(owner, action, fallback) {
  try {
    return action();
  } catch (error) {
    if (!reported.has(owner)) console.error(`EchoGen: ${nameOf(owner.node)} can't be displayed.`, error);
    reported.add(owner);
    return fallback;
  }
}

/** A node's title and id, for messages. @param {any} node */
export const nameOf = (node) => `“${textOf(node?.title)}” #${textOf(node?.id)}`;
