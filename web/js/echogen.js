// @ts-check
/** Registers EchoGen's part of the front end; the only file that knows the app. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { GammaPad, HEIGHT } from "./gamma_pad.js";

const FOLLOW_MS = 150; // widgets also change without a word: undo, loading, other extensions

/** @typedef {{pad: GammaPad, gone: boolean}} Kept */
/** @type {Set<Kept>} */
const pads = new Set();
/** @type {Record<string, string>} */
let texts = {};

/** Labels of locales/<language>/main.json, English where a language has none. */
async function loadTexts() {
  const all = await (await api.fetchApi("/i18n")).json();
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  texts = { ...all.en?.echogen, ...all[language]?.echogen };
}

/** @param {any} node */
function addPad(node) {
  const pad = new GammaPad(new GammaBridge(node), texts);
  const widget = node.addDOMWidget("gamma_pad", "echogen_gamma_pad", pad.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => HEIGHT,
    getMaxHeight: () => HEIGHT,
  });
  widget.serialize = false; // it holds nothing: the two float widgets do
  const kept = { pad, gone: false };
  pads.add(kept);
  const before = node.onRemoved;
  node.onRemoved = function () {
    before?.apply(this, arguments);
    kept.gone = true;
  };
}

/**
 * Draws a pad anew. Undo makes the graph's nodes anew while Nodes 2.0 keeps their elements: a pad that is
 * still on the page goes on with the node that has its number; one that is not ends with its node.
 * @param {Kept} kept
 */
function follow(kept) {
  const { pad } = kept;
  if (kept.gone) {
    const heir = pad.root.isConnected && app.canvas?.graph?.getNodeById(pad.bridge.node.id);
    if (!heir || heir.comfyClass !== "EchoGenSampler") {
      pads.delete(kept);
      return pad.dispose();
    }
    pad.bridge.node = heir;
  }
  pad.draw();
}

app.registerExtension({
  name: "EchoGen",
  async init() {
    await loadTexts();
    setInterval(() => pads.forEach(follow), FOLLOW_MS);
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass === "EchoGenSampler") addPad(node);
  },
});
