// @ts-check
/** Registers the panel of EchoGen Sampler, and tells it what the server says. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { LiveQueue } from "./live_queue.js";
import { addView, asOneStep, loadTexts, nodeAt, viewsAt } from "./node_views.js";
import { THUMB } from "./pins.js";
import { SamplerPanel } from "./sampler_panel.js";

const HISTORY_MS = [0, 200, 500, 1000]; // a run that has just ended may not be in the history yet

const live = new LiveQueue({
  async queue() {
    const workflow = app.extensionManager?.workflow?.activeWorkflow;
    const previewMethod = app.extensionManager?.setting.get("Comfy.Execution.PreviewMethod");
    try {
      const { prompt_id } = await api.queuePrompt(0, await app.graphToPrompt(), { previewMethod });
      enterInRecord(prompt_id, workflow);
      return prompt_id;
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
  remember: () => asOneStep(() => {}),
  inputsOf,
  thumb,
};

/**
 * App mode shows the pictures of runs whose workflow the front end has on record. Only its own Run button writes there,
 * and extensions are given no way to: hence the store by its name. Older front ends have no such record.
 * @param {string} run @param {{path: string, instanceId?: string} | undefined} workflow
 */
function enterInRecord(run, workflow) {
  const page = /** @type {any} */ (document.getElementById("vue-app"))?.__vue_app__;
  const record = page?.config.globalProperties.$pinia?._s.get("execution");
  if (workflow) record?.ensureSessionWorkflowPath?.(run, workflow.path, workflow.instanceId);
}

/** Why the server refused a graph, the first reason of a node before the general one. @param {any} error */
function reason(error) {
  const { error: general, node_errors } = error.response ?? {};
  const [node] = /** @type {any[]} */ (Object.values(node_errors ?? {}));
  const [first] = node?.errors ?? [];
  return first ? `${node.class_type}: ${first.message} ${first.details}` : (general?.message ?? error.message);
}

/** The graph of a run, as the server has it: while it runs in the queue, then in the history. @param {string} run */
async function graphOf(run) {
  const read = async (/** @type {string} */ address) => (await api.fetchApi(address)).json();
  const running = (await read("/queue")).queue_running.find((/** @type {any[]} */ entry) => entry[1] === run);
  return (running ?? (await read(`/history/${run}`))[run]?.prompt)?.[2];
}

/** A node's inputs as the server ran them; null when it does not know any more. @param {string} run @param {any} node */
async function inputsOf(run, node) {
  for (const wait of HISTORY_MS) {
    await new Promise((done) => setTimeout(done, wait));
    const graph = (await graphOf(run)) ?? {};
    const path = Object.keys(graph).find((path) => nodeAt(path) === node);
    if (path) return graph[path].inputs;
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

/** @param {string} path */
function* panelsAt(path) {
  for (const view of viewsAt(path)) if (view instanceof SamplerPanel) yield view;
}

app.registerExtension({
  name: "EchoGen",
  async init() {
    host.texts = await loadTexts("echogen");
    listen();
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenSampler") return;
    addView(new SamplerPanel(new GammaBridge(node), host), "gamma_pad", host.texts.label);
  },
});
