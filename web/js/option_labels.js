// @ts-check
/** Shows the choices of drop-downs in the artist's words and language; what is saved and sent stays the same. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { loadTexts } from "./node_views.js";
import { PACK } from "./pack.js";

const FILES = new Set(["file", "picture"]); // widgets whose choices are names of the artist's own files

/** @type {Record<string, string>} */
let texts = {};

/** A choice's key among the texts: "late off" -> "late_off". @param {unknown} value */
const keyOf = (value) => String(value).toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "");

app.registerExtension({
  name: `${PACK}.OptionLabels`,
  async setup() {
    texts = await loadTexts("echogen_options");
  },
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith(PACK)) return;
    for (const widget of node.widgets ?? []) {
      if (widget.type !== "combo" || FILES.has(widget.name)) continue;
      widget.options.getOptionLabel = (/** @type {unknown} */ value) => texts[keyOf(value)] || String(value ?? "");
    }
  },
});
