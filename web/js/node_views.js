// @ts-check
/** Views in nodes: elements that show what a node holds, and follow it through undo, loading and removal. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { attempt } from "./guard.js";
import { isRecord, own } from "./outside.js";
import { addStyle } from "./page.js";

const FOLLOW_MS = 150; // a node also changes without a word: undo, loading, other extensions
const MARGIN = 10; // that the canvas keeps around an element, a side
// Zoomed far out, Nodes 2.0 hides a node's widgets and takes the pointer from what it cannot hide.
const STYLE = ".isLOD .echogen-view { pointer-events: auto; }";

/**
 * @typedef {object} View
 * @property {any} node  the node it shows; another one after an undo
 * @property {HTMLElement} root
 * @property {() => void} draw  called again and again: cheap when nothing has changed
 * @property {number} [height]  exactly, in pixels, at this moment; without it the view takes the room there is
 * @property {() => void} [dispose]  ends what outlives the element
 */
/** @typedef {{view: View, gone: boolean}} Kept */
/** @type {Set<Kept>} */
const views = new Set();
/** Of the next time that all views follow; null: none is to come. @type {ReturnType<typeof setTimeout> | null} */
let timer = null;

/** What the server answers; an error that names the status where it is none of success. @param {string} address */
export async function readJson(address) {
  const answer = await api.fetchApi(address);
  if (!answer.ok) throw new Error(`The server answered ${answer.status} to ${address}, where JSON was expected.`);
  return answer.json();
}

/**
 * Labels of locales/<language>/main.json, English where a language has none, "" where the server tells none at all.
 * @param {string} section @returns {Promise<Record<string, string>>}
 */
export async function loadTexts(section) {
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  try {
    const all = await readJson("/i18n");
    const told = ["en", language].flatMap((name) => {
      const texts = own(own(all, name), section);
      return isRecord(texts) ? Object.entries(texts) : [];
    });
    return orEmpty(Object.fromEntries(told.filter(([, text]) => typeof text === "string")));
  } catch (error) {
    console.error("EchoGen: its labels could not be read, so its views have none.", error);
    return orEmpty({});
  }
}

/** @param {Record<string, any>} texts @returns {Record<string, string>} */
const orEmpty = (texts) => new Proxy(texts, { get: (all, name) => own(all, String(name)) ?? "" });

/**
 * Puts a view into its node as a widget that holds nothing.
 * @param {View} view @param {string} name @param {string} label  what app mode and the side panel call it
 * @param {number} [least]  height in pixels, where the view has none
 */
export function addView(view, name, label, least = 0) {
  addStyle(document, "echogen-view-style", STYLE);
  view.root.classList.add("echogen-view");
  const exactly = () => attempt(view, () => view.height && view.height + 2 * MARGIN, undefined);
  const widget = view.node.addDOMWidget(name, `echogen_${name}`, view.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => exactly() ?? least,
    getMaxHeight: exactly,
  });
  widget.serialize = false;
  widget.label = label;
  const kept = { view, gone: false };
  views.add(kept);
  const before = view.node.onRemoved;
  view.node.onRemoved = function () {
    kept.gone = true;
    before?.apply(this, arguments);
  };
  timer ??= setTimeout(followAll, FOLLOW_MS);
}

/** The node behind an execution id, which inside subgraphs is a path: 12:5. @param {string} path */
export function nodeAt(path) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return node;
}

/** The views of a node that a run speaks of. @param {string} path @returns {Generator<View>} */
export function* viewsAt(path) {
  const node = nodeAt(path);
  for (const { view } of views) if (view.node === node) yield view;
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
  for (const kept of views) attempt(kept.view, () => follow(kept), undefined);
  timer = views.size ? setTimeout(followAll, FOLLOW_MS) : null;
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
      view.root.remove();
      return view.dispose?.();
    }
    view.node = heir;
  }
  view.draw();
}
