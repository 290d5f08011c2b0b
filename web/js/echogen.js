// @ts-check
/** Registers EchoGen's part of the front end; with the pack's other registrars the only file that knows the app. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { LiveQueue } from "./live_queue.js";
import { THUMB } from "./pins.js";
import { SamplerPanel } from "./sampler_panel.js";

const FOLLOW_MS = 150; // widgets also change without a word: undo, loading, other extensions
const MARGIN = 10; // that the canvas keeps around an element, a side
const HISTORY_MS = [0, 200, 500, 1000]; // a run that has just ended may not be in the history yet

/** @typedef {{panel: SamplerPanel, gone: boolean}} Kept */
/** @type {Set<Kept>} */
const panels = new Set();

const live = new LiveQueue({
  async queue() {
    try {
      return (await api.queuePrompt(0, await app.graphToPrompt())).prompt_id;
    } catch (error) {
      throw new Error(reason(error));
    }
  },
  drop: (id) => api.deleteItem("queue", id),
  interrupt: (id) => api.interrupt(id),
});

/** @type {import("./sampler_panel.js").Host} */
const host = {
  texts: {},
  live,
  full: new Map(),
  resized(node) {
    node.expandToFitContent?.();
    node.setDirtyCanvas?.(true, true);
  },
  remember() {
    app.canvas.emitBeforeChange();
    app.canvas.emitAfterChange();
  },
  inputsOf,
  thumb,
};

/** Why the server refused a graph, the first reason of a node before the general one. @param {any} error */
function reason(error) {
  const { error: general, node_errors } = error.response ?? {};
  const [node] = /** @type {any[]} */ (Object.values(node_errors ?? {}));
  const [first] = node?.errors ?? [];
  return first ? `${node.class_type}: ${first.message} ${first.details}` : (general?.message ?? error.message);
}

/** Labels of locales/<language>/main.json, English where a language has none. */
async function loadTexts() {
  const all = await (await api.fetchApi("/i18n")).json();
  const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  host.texts = { ...all.en?.echogen, ...all[language]?.echogen };
}

/** The node behind an execution id, which inside subgraphs is a path: 12:5. @param {string} path */
function nodeAt(path) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const id of path.split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return node;
}

/** The panels of a node that a run speaks of. @param {string} path */
function* panelsAt(path) {
  const node = path && nodeAt(path);
  for (const { panel } of panels) if (panel.bridge.node === node) yield panel;
}

/** A node's inputs as the server ran them; null when its history does not say. @param {string} run @param {any} node */
async function inputsOf(run, node) {
  for (const wait of HISTORY_MS) {
    await new Promise((done) => setTimeout(done, wait));
    const prompt = (await (await api.fetchApi(`/history/${run}`)).json())[run]?.prompt?.[2];
    const path = Object.keys(prompt ?? {}).find((path) => nodeAt(path) === node);
    if (path) return prompt[path].inputs;
  }
  return null;
}

/** @param {Blob} picture */
async function thumb(picture) {
  const bitmap = await createImageBitmap(picture);
  const share = Math.min(1, THUMB / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.round(side * share) || 1);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.8);
}

/** @param {any} node */
function addPanel(node) {
  const panel = new SamplerPanel(new GammaBridge(node), host);
  const height = () => panel.height + 2 * MARGIN;
  const widget = node.addDOMWidget("gamma_pad", "echogen_gamma_pad", panel.root, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: height,
    getMaxHeight: height,
  });
  widget.serialize = false; // it holds nothing: the two float widgets do
  const kept = { panel, gone: false };
  panels.add(kept);
  const before = node.onRemoved;
  node.onRemoved = function () {
    before?.apply(this, arguments);
    kept.gone = true;
  };
}

/**
 * Draws a panel anew. Undo makes the graph's nodes anew while Nodes 2.0 keeps their elements: a panel that is
 * still on the page goes on with the node that has its number; one that is not ends with its node.
 * @param {Kept} kept
 */
function follow(kept) {
  const { panel } = kept;
  if (kept.gone) {
    const heir = panel.root.isConnected && app.canvas?.graph?.getNodeById(panel.bridge.node.id);
    if (!heir || heir.comfyClass !== "EchoGenSampler") {
      panels.delete(kept);
      return panel.dispose();
    }
    panel.bridge.node = heir;
  }
  panel.draw(app.canvas?.ds?.scale ?? 1);
}

/** Tells the live queue and the panels what the server says of this page's runs. */
function listen() {
  const on = (/** @type {string} */ event, /** @type {(detail: any) => void} */ heard) =>
    api.addEventListener(event, (/** @type {CustomEvent} */ { detail }) => heard(detail));
  on("execution_start", ({ prompt_id }) => live.started(prompt_id));
  for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
    on(end, ({ prompt_id }) => live.ended(prompt_id));
  }
  on("progress_state", ({ prompt_id, nodes }) => {
    for (const [path, { value, max }] of Object.entries(nodes)) {
      for (const panel of panelsAt(path)) panel.strip.progress(prompt_id, value, max);
    }
  });
  on("b_preview_with_metadata", ({ blob, displayNodeId, promptId, jobId }) => {
    // Newer front ends say jobId.
    for (const panel of panelsAt(displayNodeId)) panel.preview(promptId ?? jobId, blob);
  });
}

app.registerExtension({
  name: "EchoGen",
  async init() {
    await loadTexts();
    listen();
    setInterval(() => panels.forEach(follow), FOLLOW_MS);
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass === "EchoGenSampler") addPanel(node);
  },
});
