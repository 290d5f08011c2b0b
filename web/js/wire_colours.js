// @ts-check
/**
 * Wires of the pack's types have the colours that the palette gives to ComfyUI's types of the same part, in every
 * palette. Without them the front end of ComfyUI 0.3.75 draws no slots in Nodes 2.0.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { addStyle } from "./dom.js";
import { PACK } from "./pack.js";

/** @type {Readonly<Record<string, string>>} */
const TYPES = Object.freeze({
  ECHOGEN_MODEL: "MODEL",
  ECHOGEN_TOKENIZER: "VAE",
  ECHOGEN_TEXT_ENCODER: "CLIP",
  ECHOGEN_SEMANTIC_ENCODER: "CLIP_VISION",
  ECHOGEN_CONTENT_ENCODER: "STYLE_MODEL",
  ECHOGEN_TEXT: "CONDITIONING",
  ECHOGEN_SEMANTIC: "CLIP_VISION_OUTPUT",
  ECHOGEN_CONTENT: "CONTROL_NET",
  ECHOGEN_GUIDANCE: "NOISE",
  ECHOGEN_BITS: "LATENT",
  ECHOGEN_EDIT: "MASK",
  ECHOGEN_REGIONS: "GUIDER",
});
const STYLE = `body { ${Object.entries(TYPES)
  .map(([ours, core]) => `--color-datatype-${ours}: var(--color-datatype-${core}, #aaa);`)
  .join(" ")} }`;

/** Makes the colours of our types in a table of the canvas those of ComfyUI's. A new palette empties the others.
 *  @param {Record<string, string> | undefined} colours */
function link(colours) {
  if (!colours) return; // this front end has no such table
  for (const [ours, core] of Object.entries(TYPES)) {
    const linked = { get: () => colours[core], set: () => {}, enumerable: true, configurable: true };
    Object.defineProperty(colours, ours, linked);
  }
}

app.registerExtension({
  name: `${PACK}.WireColours`,
  setup() {
    addStyle(document, "echogen-wires-style", STYLE);
    link(app.canvas?.default_connection_color_byType);
    link(/** @type {any} */ (globalThis).LGraphCanvas?.link_type_colors);
  },
});
