// @ts-check
/** Queues a graph as the Run button does, credentials included, but leaves widgets alone and opens no dialog. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { attempt } from "./error_boundary.js";

/** @typedef {{output: Record<string, any>, workflow: any}} Prompt  a graph in API format, and as the file stores it */
/** @typedef {(answer: Promise<any>) => Promise<any>} Take  receives the server's answer; returns what the caller sees */
/** @typedef {{workflow: unknown, live: boolean}} Asker  an open workflow; whether Live asks */

/** Marks our requests in the front end's events: it counts its own from 0. */
const OUR_REQUEST = -1;
const NO_NODES = { nodes: [], _nodes: [], subgraphs: new Map(), getNodeById: () => null };
/** Where errors of queueing are reported. */
export const QUEUEING = { node: { title: "queueing" } };
const NOTICES = ["promptQueueing", "promptQueued"]; // newer front ends show a banner for each

/** The `partsOf` prompts that are being queued here. @type {WeakMap<object, {asker: Asker, take: Take}>} */
const ours = new WeakMap();
/** A prompt and its parts, as other packs may pass on a copy. @param {any} prompt */
const partsOf = (prompt) => [prompt, prompt?.output, prompt?.workflow].filter(Boolean);

/** The open workflow that is shown. */
export const activeWorkflow = () => app.extensionManager?.workflow?.activeWorkflow;

/**
 * Reports every run that this page queues, by Run, Live or another pack, with the workflow it was queued from.
 * @param {(answer: Promise<any>, prompt: any, asker: Asker) => void} record
 */
export function recordQueuedRuns(record) {
  const { queuePrompt, dispatchCustomEvent } = api;
  api.queuePrompt = function (/** @type {any[]} */ ...given) {
    const answer = queuePrompt.apply(this, given);
    const prompt = given[1];
    const request = partsOf(prompt).map((part) => ours.get(part)).find(Boolean);
    const asker = request?.asker ?? { workflow: activeWorkflow(), live: false };
    attempt(QUEUEING, () => record(answer, prompt, asker), undefined);
    return request ? request.take(answer) : answer;
  };
  if (typeof dispatchCustomEvent !== "function") return;
  api.dispatchCustomEvent = function (/** @type {any[]} */ ...given) {
    const [event, detail] = given;
    if (NOTICES.includes(event) && detail?.requestId === OUR_REQUEST) return true;
    return dispatchCustomEvent.apply(this, given);
  };
}

/**
 * Queues a prompt; returns the run's id. Rejects with the server's reason, undefined if the front end sent nothing.
 * @param {Prompt} prompt @param {string[]} targets  ids of the output nodes to run @param {Asker} asker
 * @returns {Promise<string | null>}
 */
export function queueAsRun(prompt, targets, asker) {
  return new Promise((resolve, reject) => {
    let sent = false;
    /** @type {Take} */
    const take = (answer) => {
      sent = true;
      const answered = Promise.resolve(answer);
      answered.then((told) => resolve(told?.prompt_id ?? null), reject);
      return answered.catch(() => ({})); // or the front end opens a dialog
    };
    for (const part of partsOf(prompt)) ours.set(part, { asker, take });
    asRunButton(prompt, targets).then(
      () => sent || reject(undefined),
      (error) => {
        console.warn("EchoGen: this front end doesn't queue as expected; a Live run may lack credentials.", error);
        const options = { partialExecutionTargets: targets, previewMethod: previewMethod() };
        if (!sent) take(api.queuePrompt(0, prompt, options));
      },
    );
  });
}

/**
 * The front end's own queueing, which reads the credentials, on an app whose graph is the given prompt and has no
 * widgets: so no seed rolls, and no pack's widget acts as if Run were pressed. Taken from the class, as packs replace
 * the object's by functions bound to the real app.
 * @param {Prompt} prompt @param {string[]} targets
 */
async function asRunButton(prompt, targets) {
  const stage = Object.create(app);
  const own = {
    graph: NO_NODES,
    rootGraph: NO_NODES,
    graphToPrompt: async () => prompt,
    queueItems: [],
    processingQueue: false,
    nextQueueRequestId: OUR_REQUEST,
  };
  for (const [name, value] of Object.entries(own)) Object.defineProperty(stage, name, { value, writable: true });
  await Object.getPrototypeOf(app).queuePrompt.call(stage, 0, 1, targets);
}

const previewMethod = () => app.extensionManager?.setting?.get("Comfy.Execution.PreviewMethod");
