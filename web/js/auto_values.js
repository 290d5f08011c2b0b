// @ts-check
/**
 * Shows numbers that stand for another value in words: a 0 for the model's own as "auto (0.5)" or "off", a region's γ
 * below 0 for the sampler's as "as the sampler". What is saved and sent stays the number.
 */

import { addStyle } from "./dom.js";
import { numberOf } from "./plain_values.js";
import { ownValue } from "./wired_model.js";

const SETTINGS = ["tau", "top_p", "top_k"];
const REGION = "EchoGenSubjectRegion";
const OF_REGION = ["gamma_t", "gamma_i"];
/** Nodes 2.0 offers nothing for this: its number fields show digits alone. So a text lies over them until one edits it;
 *  the two selectors are of older and newer front ends. `:has` comes after a mark: on any element it would make the
 *  browser look at the whole page after each change. */
const STYLE = [...SETTINGS, ...OF_REGION].map((name) => {
  const auto = `${SETTINGS.includes(name) ? '[aria-valuenow="0"]' : '[aria-valuenow^="-"]'}:not(:focus)`;
  const [label, marked] = [`[aria-label="${name}"]`, "[data-echogen-number]"];
  const field = `:is(${marked}:has(> input${label}${auto}), ${label} ${marked}:has(> input${auto}))`;
  return `${field} { position: relative; }
${field} > input { color: transparent !important; }
${field}::after { content: var(--echogen-${name}); position: absolute; inset: 0; display: flex;
  align-items: center; justify-content: center; font-size: 12px; pointer-events: none; }`;
}).join("\n");
/** @type {WeakSet<object>} */
const taught = new WeakSet();

/**
 * Keeps what a node shows in place of such numbers up to date. To be called on each draw of its view.
 * @param {any} node @param {HTMLElement} root  of the view @param {Record<string, string>} texts
 */
export function showAutoValues(node, root, texts) {
  const element = /** @type {HTMLElement | null} */ (root.closest("[data-node-id]"));
  addStyle(root.ownerDocument, "echogen-auto-style", STYLE);
  const isRegion = node.comfyClass === REGION;
  const isAuto = (/** @type {unknown} */ value) => (isRegion ? numberOf(value) < 0 : numberOf(value) === 0);
  for (const name of isRegion ? OF_REGION : SETTINGS) {
    const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
    if (widget && !taught.has(widget)) teach(widget, isAuto, () => textFor(node, name, texts));
    if (!element) continue;
    const text = JSON.stringify(textFor(node, name, texts));
    if (element.style.getPropertyValue(`--echogen-${name}`) !== text) {
      element.style.setProperty(`--echogen-${name}`, text);
    }
    const number = element.querySelector(`input[aria-label="${name}"], [aria-label="${name}"] input`);
    number?.parentElement?.toggleAttribute("data-echogen-number", true);
  }
}

/** @param {any} node @param {string} name @param {Record<string, string>} texts */
function textFor(node, name, texts) {
  if (name === "top_k") return texts.off || "off";
  if (OF_REGION.includes(name)) return texts.as_sampler || "as the sampler";
  const [own, auto] = [ownValue(node, name), texts.auto || "auto"];
  return own === undefined || Number.isNaN(own) ? auto : `${auto} (${own})`;
}

/** Makes a widget of the canvas show a text for some numbers.
 *  @param {any} widget @param {(value: unknown) => boolean} isAuto @param {() => string} text */
function teach(widget, isAuto, text) {
  taught.add(widget);
  const shown = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(widget), "_displayValue")?.get;
  if (!shown) return; // this front end draws its widgets in another way
  Object.defineProperty(widget, "_displayValue", {
    configurable: true,
    get() {
      return isAuto(this.value) && !this.computedDisabled ? text() : shown.call(this);
    },
  });
}
