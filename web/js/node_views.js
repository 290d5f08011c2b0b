// @ts-check
/** Views in nodes: elements that show what a node holds, and follow it through undo, loading and removal. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";

const FOLLOW_MS = 150; // a node also changes without a word: undo, loading, other extensions

/**
 * @typedef {object} View
 * @property {any} node  the node it shows; another one after an undo
 * @property {HTMLElement} root
 * @property {() => void} draw  called again and again: cheap when nothing has changed
 */
/** @typedef {{view: View, gone: boolean}} Kept */
/** @type {Set<Kept>} */
const views = new Set();

/**
 * Labels of locales/<language>/main.json, English where a language has none.
 * @param {string} section @returns {Promise<Record<string, string>>}
 */
export async function loadTexts(section) {
  const all = await (await api.fetchApi("/i18n")).json();
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  return { ...all.en?.[section], ...all[language]?.[section] };
}

/**
 * Puts a view into its node as a widget that holds nothing.
 * @param {View} view @param {string} name @param {number} height  at least, in pixels
 */
export function addView(view, name, height) {
  const widget = view.node.addDOMWidget(name, `echogen_${name}`, view.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => height,
  });
  widget.serialize = false;
  const kept = { view, gone: false };
  views.add(kept);
  const before = view.node.onRemoved;
  view.node.onRemoved = function () {
    before?.apply(this, arguments);
    kept.gone = true;
  };
  if (views.size === 1) setTimeout(followAll, FOLLOW_MS);
}

/** Does something to the graph as one step of undo. @param {() => void} change */
export function asOneStep(change) {
  app.canvas.emitBeforeChange();
  try {
    change();
  } finally {
    app.canvas.emitAfterChange();
  }
}

function followAll() {
  views.forEach(follow);
  if (views.size) setTimeout(followAll, FOLLOW_MS);
}

/**
 * Undo makes the graph's nodes anew while Nodes 2.0 keeps their elements: a view that is still on the page goes
 * on with the node that has its number; one that is not ends with its node.
 * @param {Kept} kept
 */
function follow(kept) {
  const { view } = kept;
  if (kept.gone) {
    const heir = view.root.isConnected && app.canvas?.graph?.getNodeById(view.node.id);
    if (!heir || heir.comfyClass !== view.node.comfyClass) {
      views.delete(kept);
      return view.root.remove();
    }
    view.node = heir;
  }
  view.draw();
}
