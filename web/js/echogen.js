// @ts-check
/** Registers the panel of EchoGen Sampler, and tells it what the server says. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { attempt } from "./guard.js";
import { LiveQueue } from "./live_queue.js";
import { addView, asOneStep, loadTexts, nodeAt, readJson, viewsAt } from "./node_views.js";
import { THUMB } from "./pins.js";
import { RunRecords } from "./run_records.js";
import { SamplerPanel } from "./sampler_panel.js";

const records = new RunRecords(readJson);
const APP_MODE = { node: { title: "app mode" } };

const live = new LiveQueue({
  async queue() {
    const workflow = workflowOnShow();
    const previewMethod = app.extensionManager?.setting.get("Comfy.Execution.PreviewMethod");
    try {
      const { prompt_id } = await api.queuePrompt(0, await app.graphToPrompt(), { previewMethod });
      attempt(APP_MODE, () => enterInRecord(prompt_id, workflow), undefined);
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

const workflowOnShow = () => app.extensionManager?.workflow?.activeWorkflow;

/** Notes from which workflow each run of this page is queued, whoever queues it: Run, Live or another extension. */
function noteOwnRuns() {
  const { queuePrompt } = api;
  api.queuePrompt = function () {
    const answer = queuePrompt.apply(this, arguments);
    records.sent(answer, workflowOnShow());
    return answer;
  };
}

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

/** A node's inputs as the server ran them; null when it does not know any more. @param {string} run @param {any} node */
async function inputsOf(run, node) {
  const graph = (await records.graph(run)) ?? {};
  const path = Object.keys(graph).find((path) => nodeAt(path) === node);
  return path ? graph[path].inputs : null;
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
    for (const [path, state] of Object.entries(nodes ?? {})) {
      tell(path, prompt_id, (panel) => panel.strip.progress(prompt_id, state?.value, state?.max));
    }
  });
  on("b_preview_with_metadata", ({ blob, displayNodeId, promptId, jobId }) => {
    const run = promptId ?? jobId; // newer front ends say jobId
    tell(displayNodeId, run, (panel) => panel.preview(run, blob));
  });
}

/**
 * Tells a node's panels of a run, if it was queued from the workflow on show: another one, open beside it, has nodes of
 * the same numbers, and as a copy of the same file even the same number itself. What is told first arrives first.
 * @param {string} path @param {string} run @param {(panel: SamplerPanel) => void} what
 */
async function tell(path, run, what) {
  const panels = [...viewsAt(path)].filter((view) => view instanceof SamplerPanel);
  if (!panels.length) return;
  const [shown, { id }] = [workflowOnShow(), app.rootGraph ?? app.graph];
  const own = await records.ownWorkflow(run);
  if (own ? own === shown : (await records.workflow(run)) === id) {
    for (const panel of panels) attempt(panel, () => what(panel), undefined);
  }
}

app.registerExtension({
  name: "EchoGen",
  async init() {
    noteOwnRuns();
    listen();
    host.texts = await loadTexts("echogen");
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenSampler") return;
    addView(new SamplerPanel(new GammaBridge(node), host), "gamma_pad", host.texts.label);
  },
});
