// @ts-check
/** Sets a sampler to the settings of a picture: a cell of a sweep, or a pin. */

import { samplerSource } from "./gamma_bridge.js";
import { isLongWhole } from "./plain_values.js";

/**
 * Sets widgets as if their values were typed, within their ranges.
 * @param {import("./value_source.js").GraphNode} sampler
 * @param {Record<string, number | string>} settings  by widget name
 * @returns {{locked: string[], tooLong: string[]}}  not set: connected inputs set them; the page's numbers would round
 *   them
 */
export function applySettings(sampler, settings) {
  /** @type {string[]} */
  const [locked, tooLong] = [[], []];
  for (const [name, value] of Object.entries(settings)) {
    const { connected, widget } = samplerSource(sampler, name);
    if (connected && !widget) locked.push(name);
    if (isLongWhole(value)) tooLong.push(name);
    else if (widget) write(widget, value);
  }
  sampler.setDirtyCanvas?.(true, true);
  return { locked, tooLong };
}

/** @param {import("./value_source.js").Widget} widget @param {number | string} value */
function write(widget, value) {
  const { min = -Infinity, max = Infinity } = widget.options ?? {};
  const fit = typeof value === "number" ? Math.min(max, Math.max(min, value)) : value;
  if (widget.value === fit) return;
  widget.value = fit;
  widget.callback?.(fit);
  widget.value = fit; // the callback rounds to the widget's step
}
