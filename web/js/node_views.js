// @ts-check
/** Views in nodes: elements that show a node's values and follow it through undo, loading and removal. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { attempt } from "./error_boundary.js";
import { exactJson, isRecord, ownProperty, textOf } from "./plain_values.js";
import { addStyle } from "./dom.js";
import { THEME } from "./theme.js";

const UPDATE_MS = 150; // undo, loading and other extensions change nodes without an event
const MARGIN = 10; // of the canvas around an element, per side
// Zoomed far out, Nodes 2.0 hides a node's widgets and disables pointer events on elements it can't hide.
const STYLE = `${THEME}.isLOD .echogen-view { pointer-events: auto; }`;

/**
 * @typedef {object} View
 * @property {any} node  the node it belongs to; another object after an undo
 * @property {HTMLElement} root
 * @property {() => void} draw  called often: must be cheap if nothing has changed
 * @property {number} [height]  current height in pixels; without it the view fills the available space
 * @property {() => void} [dispose]  ends timers and observers
 */
/** @typedef {{view: View, removed: boolean}} Entry */
/** @type {Set<Entry>} */
const views = new Set();
/** The timer of the next update; null without views. @type {ReturnType<typeof setTimeout> | null} */
let timer = null;

/** The server's JSON answer, as `exactJson`; throws an error with its status if it isn't a success.
 *  @param {string} address */
export async function readJson(address) {
  const answer = await api.fetchApi(address);
  if (!answer.ok) throw new Error(`Expected JSON from ${address}, got status ${answer.status}.`);
  return exactJson(await answer.text());
}

/**
 * Labels from locales/<language>/main.json, in English where a language has none, "" if the server has none.
 * @param {string} section @returns {Promise<Record<string, string>>}
 */
export async function loadTexts(section) {
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  try {
    const all = await readJson("/i18n");
    const labels = ["en", language].flatMap((name) => {
      const texts = ownProperty(ownProperty(all, name), section);
      return isRecord(texts) ? Object.entries(texts) : [];
    });
    return orEmpty(Object.fromEntries(labels.filter(([, text]) => typeof text === "string")));
  } catch (error) {
    console.error("EchoGen: can't read the labels, so the views have none.", error);
    return orEmpty({});
  }
}

/** @param {Record<string, any>} texts @returns {Record<string, string>} */
const orEmpty = (texts) => new Proxy(texts, { get: (all, name) => ownProperty(all, String(name)) ?? "" });

/**
 * Adds a view to its node, as a widget without a value.
 * @param {View} view @param {string} name @param {string} label  its name in app mode and the side panel
 * @param {number} [minHeight]  in pixels, for a view without a height
 */
export function addView(view, name, label, minHeight = 0) {
  addStyle(document, "echogen-view-style", STYLE);
  view.root.classList.add("echogen-view");
  if (view.height === undefined) view.root.classList.add("widget-expands"); // Nodes 2.0, in front ends before 1.33
  keepPresses(view.root);
  const fixedHeight = () => attempt(view, () => view.height && view.height + 2 * MARGIN, undefined);
  const widget = view.node.addDOMWidget(name, `echogen_${name}`, view.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => fixedHeight() ?? minHeight,
    getMaxHeight: fixedHeight,
  });
  widget.serialize = false;
  widget.label = label;
  if (view.height !== undefined) {
    // Newer Nodes 2.0 gives every widget with a layout size a share of the space that is left.
    widget.computeLayoutSize = undefined;
    widget.computeSize = (/** @type {number} */ width) => [width ?? 0, fixedHeight() ?? 0];
  }
  const entry = { view, removed: false };
  views.add(entry);
  const before = view.node.onRemoved;
  view.node.onRemoved = function () {
    entry.removed = true;
    before?.apply(this, arguments);
  };
  timer ??= setTimeout(updateAll, UPDATE_MS);
}

/**
 * Keeps presses and drags that begin in a view from Nodes 2.0, which would drag the node: on a press, or on a move
 * alone after an earlier click on the node. Whatever a drag on a drawing changes is one undo step.
 * @param {HTMLElement} root
 */
function keepPresses(root) {
  let pressed = false;
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = true;
    event.stopPropagation();
    if (event.isPrimary && event.target instanceof SVGElement) holdSteps();
  });
  root.addEventListener("pointermove", (event) => {
    if (pressed) event.stopPropagation();
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    root.addEventListener(end, () => (pressed = false));
  }
}

/** Keeps the front end from taking an undo step before the drag has ended, as it does when Shift is released. */
function holdSteps() {
  const steps = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  if (!steps?.beforeChange || !steps.afterChange) return;
  const ends = ["pointerup", "pointercancel", "pointerdown"]; // the next press, if the end was not heard
  const release = (/** @type {PointerEvent} */ event) => {
    if (!event.isPrimary) return;
    for (const end of ends) window.removeEventListener(end, /** @type {any} */ (release), true);
    steps.afterChange();
  };
  steps.beforeChange();
  for (const end of ends) window.addEventListener(end, /** @type {any} */ (release), true);
}

/** The graph that holds all others. */
export const rootGraph = () => app.rootGraph ?? app.graph;

/** A node's key in its workflow, as the front end's `nodeOutputs` has it: 5, inside a subgraph <the graph's id>:5.
 *  @param {any} node */
export const keyOf = ({ graph, id }) =>
  graph === rootGraph() ? textOf(id) : `${textOf(graph?.id)}:${textOf(id)}`;

/** The front end's record of a node's last output, which follows workflow tabs and undo. @param {any} node */
export const outputOf = (node) => node.graph && ownProperty(app.nodeOutputs, keyOf(node));

/** The node with an execution id, which inside subgraphs is a path: 12:5. @param {string} path */
export function nodeAt(path) {
  let graph = rootGraph();
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return node;
}

/** The views of all nodes. @returns {Generator<View>} */
export function* allViews() {
  for (const { view } of views) yield view;
}

/** Changes the graph as one undo step. @param {() => void} change */
export function asOneStep(change) {
  app.canvas.emitBeforeChange();
  try {
    change();
  } finally {
    app.canvas.emitAfterChange();
  }
}

function updateAll() {
  for (const entry of views) attempt(entry.view, () => update(entry), undefined);
  timer = views.size ? setTimeout(updateAll, UPDATE_MS) : null;
}

/**
 * Updates a view. Undo recreates the graph's nodes while Nodes 2.0 keeps their elements: a view still in the document
 * moves to the node with the same id; otherwise it is removed with its node.
 * @param {Entry} entry
 */
function update(entry) {
  const { view } = entry;
  if (entry.removed) {
    const replacement = view.root.isConnected && app.canvas?.graph?.getNodeById(view.node.id);
    if (!replacement || replacement.comfyClass !== view.node.comfyClass) {
      views.delete(entry);
      view.root.remove();
      return view.dispose?.();
    }
    view.node = replacement;
  }
  view.draw();
}
