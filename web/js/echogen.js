// @ts-check
/** Registers the panel of EchoGen Sampler, and forwards the server's events to it. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { GammaBridge } from "./gamma_bridge.js";
import { attempt } from "./error_boundary.js";
import { livePart } from "./live_graph.js";
import { Unreachable } from "./live_queue.js";
import { addView, allViews, asOneStep, keyOf, loadTexts, nodeAt, readJson, rootGraph } from "./node_views.js";
import { PACK } from "./pack.js";
import { listOf, textOf } from "./plain_values.js";
import { activeWorkflow, queueAsRun, QUEUEING, recordQueuedRuns } from "./queueing.js";
import { RunRecords } from "./run_records.js";
import { HEIGHT, SamplerPanel } from "./sampler_panel.js";
import { Sessions } from "./sessions.js";
import { thumbnail } from "./thumbnail.js";
import { StripStore, workOf } from "./strip_store.js";
import { sourceOf } from "./value_source.js";

const SAMPLER = "EchoGenSampler";
const CHECK_MS = 250; // closing a workflow or deleting a sampler has no event that every front end has

/** The front end keeps its client id in the window's name: through a reload, but not in a duplicated tab. */
const pageId = () => window.name;
const records = new RunRecords(readJson, attempt(QUEUEING, () => sessionStorage, undefined), undefined, pageId);
const sessions = new Sessions(runsOf, readJson);
const strips = new StripStore(() => indexedDB);
/** Workflows that are being opened: until that is done, the graph is not the active workflow's. */
let loading = 0;

/** @type {import("./sampler_panel.js").Host} */
const host = {
  texts: {},
  seatOf,
  fullSize: new Map(),
  commit: () => asOneStep(() => {}),
  inputsOf,
  thumbnail,
};

/** The node with a key in the shown graph. @param {string} key */
function nodeOf(key) {
  const at = key.lastIndexOf(":");
  const graph = at < 0 ? rootGraph() : rootGraph()?.subgraphs?.get(key.slice(0, at));
  return graph?.getNodeById(key.slice(at + 1)) ?? null;
}

/** Whether a workflow is the one in the canvas. @param {unknown} workflow */
const isShown = (workflow) => !loading && workflow === activeWorkflow();

/** A node's place in the shown workflow; null while another one is being opened.
 *  @param {any} node @returns {import("./sampler_panel.js").Seat | null} */
function seatOf(node) {
  if (loading || !node.graph) return null;
  const [session, key] = [sessions.of(activeWorkflow()), keyOf(node)];
  return { session, key, strip: session.strip(key) };
}

/** @param {import("./sessions.js").Session} session @returns {import("./live_queue.js").Runs} */
function runsOf(session) {
  const { workflow } = session;
  const inView = (/** @type {string} */ key) => isShown(workflow) && nodeOf(key) !== null;
  return {
    inView,
    async queue(key) {
      const prompt = await app.graphToPrompt();
      if (!inView(key)) return null;
      attempt(QUEUEING, () => session.kept.apply(prompt.output, writtenAt), undefined);
      const samplers = Object.keys(prompt.output).filter((path) => nodeAt(path) === nodeOf(key));
      const { output, targets } = livePart(prompt.output, samplers, kindOf);
      if (!targets.length) throw new Error(host.texts.live_not_shown);
      const run = queueAsRun({ ...prompt, output }, targets, { workflow, live: true });
      return run.catch((error) => Promise.reject(reason(error)));
    },
    drop: (id) => api.deleteItem("queue", id),
    interrupt: (id) => api.interrupt(id),
    forget: (id) => api.deleteItem("history", id),
  };
}

/** What the server says of a class of nodes. @param {string} type @returns {import("./live_graph.js").Kind} */
const kindOf = (type) => /** @type {any} */ (globalThis).LiteGraph?.registered_node_types?.[type]?.nodeData;

/** What the widget of an input holds. @param {string} path @param {string} name */
function writtenAt(path, name) {
  const node = nodeAt(path);
  const widget = node?.widgets?.find((/** @type {any} */ widget) => widget.name === name);
  if (!widget) return null;
  return { value: sourceOf(node, name).value, type: widget.type, dynamic: widget.dynamicPrompts === true };
}

/** Why no run was queued: the first error of a node, else the general one. @param {any} error */
function reason(error) {
  if (error === undefined) return new Error(host.texts.live_not_queued);
  if (error instanceof TypeError) return new Unreachable(error.message, { cause: error }); // fetch got no answer
  if (error instanceof SyntaxError) return new Error("The server answered with an error page.", { cause: error });
  const { error: general, node_errors } = error.response ?? {};
  const [node] = /** @type {any[]} */ (Object.values(node_errors ?? {}));
  const [first] = node?.errors ?? [];
  return new Error(
    first ? `${node.class_type}: ${first.message} ${first.details}` : (general?.message ?? error.message),
  );
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

/** Where a run is queued from.
 *  @param {any} prompt @param {{workflow: any}} asker @returns {import("./run_records.js").Origin} */
function originOf(prompt, { workflow }) {
  const samplers = Object.entries(prompt?.output ?? {}).flatMap(([path, { class_type }]) => {
    const node = class_type === SAMPLER ? nodeAt(path) : null;
    return node ? [[path, keyOf(node)]] : [];
  });
  const works = samplers.map(([path]) => [path, workOf(prompt.output, path)]);
  return {
    workflow,
    path: textOf(workflow?.path, Infinity),
    samplers: Object.fromEntries(samplers),
    works: Object.fromEntries(works),
  };
}

/** @typedef {import("./scale_strip.js").ScaleStrip} ScaleStrip */

/**
 * The strip of the sampler that an event is about; null if this page didn't queue the run. Node ids alone don't tell:
 * all workflows have the same ones. Events stay in order.
 * @param {string} run @param {string} path @returns {Promise<ScaleStrip | null>}
 */
async function stripOf(run, path) {
  const origin = await records.origin(run);
  const key = origin?.samplers[path];
  if (!origin || key === undefined) return null;
  const workflow = origin.workflow ?? openWorkflows()?.find(({ path }) => path === origin.path);
  return sessions.of(workflow).strip(key);
}

/** Redraws the panels that show a strip. @param {ScaleStrip} strip */
function redraw(strip) {
  for (const view of allViews()) {
    if (view instanceof SamplerPanel && view.strip === strip) attempt(view, () => view.draw(), undefined);
  }
}

/** Forwards the server's events to the Live queues and the strips. */
function listen() {
  const on = (/** @type {string} */ event, /** @type {(detail: any) => void} */ handle) =>
    api.addEventListener(event, (/** @type {CustomEvent} */ { detail }) => handle(detail));
  on("execution_start", ({ prompt_id }) => sessions.tell((live) => live.started(prompt_id)));
  on("execution_success", ({ prompt_id }) => sessions.tell((live) => live.ended(prompt_id, "drawn")));
  for (const end of ["execution_error", "execution_interrupted"]) {
    on(end, ({ prompt_id }) => sessions.tell((live) => live.ended(prompt_id, "failed")));
  }
  on("reconnecting", () => sessions.lost());
  on("reconnected", reconcile);
  on("status", (status) => {
    if (!status) return; // the connection is lost
    reconcile();
    sessions.tell((live) => live.tidyHistory());
  });
  on("progress_state", ({ prompt_id, nodes }) => {
    for (const [path, state] of Object.entries(nodes ?? {})) {
      void stripOf(prompt_id, path).then((strip) => strip?.progress(prompt_id, state?.value, state?.max));
    }
  });
  on("b_preview_with_metadata", ({ blob, displayNodeId, promptId, jobId }) => {
    void showPreview(promptId ?? jobId, displayNodeId, blob); // jobId in newer front ends
  });
  on("execution_cached", ({ prompt_id, nodes }) => {
    for (const path of listOf(nodes)) void showCached(prompt_id, textOf(path));
  });
}

/** @param {string} run @param {string} path @param {Blob} picture */
async function showPreview(run, path, picture) {
  const strip = await stripOf(run, path);
  if (!strip) return;
  strip.preview(run, picture);
  redraw(strip);
  const work = (await records.origin(run))?.works[path];
  if (work && strip.run === run && strip.finished) await strips.keep(work, strip.pictures);
}

/** Shows the pictures of a run whose result is in the server's cache. @param {string} run @param {string} path */
async function showCached(run, path) {
  const work = (await records.origin(run))?.works[path];
  const strip = work ? await stripOf(run, path) : null;
  if (!work || !strip) return;
  const before = strip.run;
  const pictures = await strips.find(work);
  if (!pictures || strip.run !== before) return; // a later run has begun to draw
  strip.restore(run, pictures);
  redraw(strip);
}

/** The server answers: Live runs may have been deleted or lost meanwhile. */
function reconcile() {
  sessions.answered();
  void sessions.reconcile();
}

/** @returns {any[] | undefined} */
const openWorkflows = () => app.extensionManager?.workflow?.openWorkflows;

/** Withdraws Live runs of closed workflows and deleted samplers. A workflow out of view goes on. */
function withdraw() {
  const [open, active] = [openWorkflows(), activeWorkflow()];
  if (loading || app.extensionManager?.workflow?.isBusy) return; // a workflow that is being renamed is in no list
  sessions.prune((workflow) => !open || !workflow || workflow === active || open.includes(workflow));
  const shown = sessions.all.get(active);
  for (const key of shown?.liveKeys ?? []) if (!nodeOf(key)) shown?.endLive(key, shown.live.cancels);
}

/** Notes when a workflow is being opened, or restored by an undo. */
function noteLoading() {
  const { loadGraphData } = app;
  if (typeof loadGraphData !== "function") return;
  app.loadGraphData = async function () {
    loading += 1;
    try {
      return await loadGraphData.apply(this, arguments);
    } finally {
      loading -= 1;
    }
  };
}

app.registerExtension({
  name: PACK,
  async init() {
    recordQueuedRuns((answer, prompt, asker) => {
      records.queued(answer, originOf(prompt, asker));
      if (!asker.live) sessions.of(asker.workflow).kept.note(prompt?.output ?? {}, writtenAt);
    });
    noteLoading();
    listen();
    setInterval(() => attempt(QUEUEING, withdraw, undefined), CHECK_MS);
    host.texts = await loadTexts("echogen");
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== SAMPLER) return;
    addView(new SamplerPanel(new GammaBridge(node), host), "gamma_pad", host.texts.label, HEIGHT);
    node.onDrawBackground = () => {}; // the front end's own view of the picture in progress: the panel has one
  },
});
