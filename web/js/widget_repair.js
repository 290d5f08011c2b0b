// @ts-check
/**
 * Repairs widget values of the wrong type in opened workflows: front ends accept any value from a file, show NaN for a
 * text in a number widget and stop drawing the node for an object in one.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { nameOf } from "./error_boundary.js";
import { PACK } from "./pack.js";
import { coerced, textOf } from "./plain_values.js";

app.registerExtension({
  name: `${PACK}.WidgetRepair`,
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("EchoGen")) return;
    const saved = (node.widgets ?? []).filter((/** @type {any} */ { serialize }) => serialize !== false);
    const initial = new Map(saved.map((/** @type {any} */ widget) => [widget, widget.value]));
    const before = node.onConfigure;
    node.onConfigure = function () {
      before?.apply(this, arguments);
      const repaired = [...initial].filter(([widget, value]) => repair(widget, value));
      if (!repaired.length) return;
      const names = repaired.map(([{ name }]) => textOf(name)).join(", ");
      console.warn(`EchoGen: ${nameOf(this)} had values of the wrong type, which were reset: ${names}.`);
    };
  },
});

/** Resets a widget's value if its type is wrong; returns whether it was.
 *  @param {any} widget @param {unknown} initial  its value when the node was created */
function repair(widget, initial) {
  const value = coerced(widget.value, initial);
  if (initial === undefined || initial === null || Object.is(value, widget.value)) return false;
  widget.value = value;
  return true;
}
