// @ts-check
/** Shows a 0 that stands for the model's own value as "auto (0.5)" or "off". What is saved and sent stays 0. */

import { addStyle } from "./dom.js";
import { numberOf } from "./plain_values.js";
import { ownValue } from "./wired_model.js";

const SETTINGS = ["tau", "top_p", "top_k"];
/** Nodes 2.0 offers nothing for this: its number fields show digits alone. So a text lies over the 0 until one edits it;
 *  the two selectors are of older and newer front ends. */
const STYLE = SETTINGS.map((name) => {
  const zero = '[aria-valuenow="0"]:not(:focus)';
  const field = `:is(:has(> input[aria-label="${name}"]${zero}), [aria-label="${name}"] :has(> input${zero}))`;
  const node = `[style*="--echogen-${name}:"]`;
  return `${node} ${field} { position: relative; }
${node} ${field} > input { color: transparent !important; }
${node} ${field}::after { content: var(--echogen-${name}); position: absolute; inset: 0; display: flex;
  align-items: center; justify-content: center; font-size: 12px; pointer-events: none; }`;
}).join("\n");
/** @type {WeakSet<object>} */
const taught = new WeakSet();

/**
 * Keeps what a node shows for a 0 in its settings up to date. To be called on each draw of its view.
 * @param {any} node @param {HTMLElement} root  of the view @param {Record<string, string>} texts
 */
export function showAutoValues(node, root, texts) {
  const element = /** @type {HTMLElement | null} */ (root.closest("[data-node-id]"));
  addStyle(root.ownerDocument, "echogen-auto-style", STYLE);
  for (const name of SETTINGS) {
    const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
    if (widget && !taught.has(widget)) teach(widget, () => textFor(node, name, texts));
    const text = JSON.stringify(textFor(node, name, texts));
    if (element?.style.getPropertyValue(`--echogen-${name}`) !== text) {
      element?.style.setProperty(`--echogen-${name}`, text);
    }
  }
}

/** @param {any} node @param {string} name @param {Record<string, string>} texts */
function textFor(node, name, texts) {
  if (name === "top_k") return texts.off || "off";
  const [own, auto] = [ownValue(node, name), texts.auto || "auto"];
  return own === undefined || Number.isNaN(own) ? auto : `${auto} (${own})`;
}

/** Makes a widget of the canvas show a text for 0. @param {any} widget @param {() => string} text */
function teach(widget, text) {
  taught.add(widget);
  const shown = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(widget), "_displayValue")?.get;
  if (!shown) return; // this front end draws its widgets in another way
  Object.defineProperty(widget, "_displayValue", {
    configurable: true,
    get() {
      return numberOf(this.value) === 0 && !this.computedDisabled ? text() : shown.call(this);
    },
  });
}
