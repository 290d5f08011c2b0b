// @ts-check
/** Registers the panel of EchoGen Sampler, and forwards the server's events to it. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { attempt } from "./error_boundary.js";
import { LiveQueue } from "./live_queue.js";
import { addView, asOneStep, loadTexts, nodeAt, readJson, viewsAt } from "./node_views.js";
import { PACK } from "./pack.js";
import { THUMB_SIDE } from "./pins.js";
import { RunRecords } from "./run_records.js";
import { SamplerPanel } from "./sampler_panel.js";

const records = new RunRecords(readJson);
const APP_MODE = { node: { title: "app mode" } };

const live = new LiveQueue({
  async queue() {
    const workflow = activeWorkflow();
    const previewMethod = app.extensionManager?.setting.get("Comfy.Execution.PreviewMethod");
    try {
      const { prompt_id } = await api.queuePrompt(0, await app.graphToPrompt(), { previewMethod });
      attempt(APP_MODE, () => recordForAppMode(prompt_id, workflow), undefined);
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
  fullSize: new Map(),
  resized(node) {
    node.expandToFitContent?.();
    node.setDirtyCanvas?.(true, true);
  },
  commit: () => asOneStep(() => {}),
  inputsOf,
  thumbnail,
};

const activeWorkflow = () => app.extensionManager?.workflow?.activeWorkflow;

/** Records the workflow of every run queued on this page, by Run, Live or another extension. */
function recordQueuedRuns() {
  const { queuePrompt } = api;
  api.queuePrompt = function () {
    const answer = queuePrompt.apply(this, arguments);
    records.queued(answer, activeWorkflow());
    return answer;
  };
}

/**
 * App mode shows the pictures of runs whose workflow is in the front end's execution store. Only the Run button writes
 * it and extensions have no API for it, hence the access by name. Older front ends have no such store.
 * @param {string} run @param {{path: string, instanceId?: string} | undefined} workflow
 */
function recordForAppMode(run, workflow) {
  const page = /** @type {any} */ (document.getElementById("vue-app"))?.__vue_app__;
  const record = page?.config.globalProperties.$pinia?._s.get("execution");
  if (workflow) record?.ensureSessionWorkflowPath?.(run, workflow.path, workflow.instanceId);
}

/** Why the server refused a prompt: the first error of a node, else the general one. @param {any} error */
function reason(error) {
  const { error: general, node_errors } = error.response ?? {};
  const [node] = /** @type {any[]} */ (Object.values(node_errors ?? {}));
  const [first] = node?.errors ?? [];
  return first ? `${node.class_type}: ${first.message} ${first.details}` : (general?.message ?? error.message);
}

/**
 * A node's inputs as the server ran them; null if the server no longer has them.
 * @param {string} run @param {any} node
 */
async function inputsOf(run, node) {
  const graph = (await records.graph(run)) ?? {};
  const path = Object.keys(graph).find((path) => nodeAt(path) === node);
  return path ? graph[path].inputs : null;
}

/** A small copy as a data: URL. @param {Blob} picture */
async function thumbnail(picture) {
  const bitmap = await createImageBitmap(picture);
  const share = Math.min(1, THUMB_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.round(side * share) || 1);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.8);
}

/** Forwards the server's events to the live queue and the panels. */
function listen() {
  const on = (/** @type {string} */ event, /** @type {(detail: any) => void} */ handle) =>
    api.addEventListener(event, (/** @type {CustomEvent} */ { detail }) => handle(detail));
  on("execution_start", ({ prompt_id }) => live.started(prompt_id));
  for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
    on(end, ({ prompt_id }) => live.ended(prompt_id));
  }
  on("progress_state", ({ prompt_id, nodes }) => {
    for (const [path, state] of Object.entries(nodes ?? {})) {
      notifyPanels(path, prompt_id, (panel) => panel.strip.progress(prompt_id, state?.value, state?.max));
    }
  });
  on("b_preview_with_metadata", ({ blob, displayNodeId, promptId, jobId }) => {
    const run = promptId ?? jobId; // jobId in newer front ends
    notifyPanels(displayNodeId, run, (panel) => panel.preview(run, blob));
  });
}

/**
 * Notifies a node's panels of a run that was queued from the active workflow. Node ids alone do not tell: another open
 * workflow has the same ids, and a copy of the file even the same workflow id. Events stay in order.
 * @param {string} path @param {string} run @param {(panel: SamplerPanel) => void} notify
 */
async function notifyPanels(path, run, notify) {
  const panels = [...viewsAt(path)].filter((view) => view instanceof SamplerPanel);
  if (!panels.length) return;
  const [shown, { id }] = [activeWorkflow(), app.rootGraph ?? app.graph];
  const local = await records.localWorkflow(run);
  if (local ? local === shown : (await records.workflowId(run)) === id) {
    for (const panel of panels) attempt(panel, () => notify(panel), undefined);
  }
}

app.registerExtension({
  name: PACK,
  async init() {
    recordQueuedRuns();
    listen();
    host.texts = await loadTexts("echogen");
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenSampler") return;
    addView(new SamplerPanel(new GammaBridge(node), host), "gamma_pad", host.texts.label);
  },
});
