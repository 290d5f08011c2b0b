// @ts-check
/**
 * Widgets of our nodes in an opened workflow hold what they were made to hold: front ends take whatever a file has in a
 * widget's place, show NaN for a text in a number's and stop drawing the node for an object in it.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { nameOf } from "./guard.js";
import { fitting, textOf } from "./outside.js";

app.registerExtension({
  name: "EchoGen.Opened",
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("EchoGen")) return;
    const kept = (node.widgets ?? []).filter((/** @type {any} */ { serialize }) => serialize !== false);
    const made = new Map(kept.map((/** @type {any} */ widget) => [widget, widget.value]));
    const before = node.onConfigure;
    node.onConfigure = function () {
      before?.apply(this, arguments);
      const mended = [...made].filter(([widget, value]) => mend(widget, value)).map(([{ name }]) => textOf(name));
      if (!mended.length) return;
      const names = mended.join(", ");
      console.warn(`EchoGen: ${nameOf(this)} was opened with values of another kind, now set anew: ${names}.`);
    };
  },
});

/** Puts a widget right; false where it is. @param {any} widget @param {unknown} made  its value when it was made */
function mend(widget, made) {
  const value = fitting(widget.value, made);
  if (made === undefined || made === null || Object.is(value, widget.value)) return false;
  widget.value = value;
  return true;
}
