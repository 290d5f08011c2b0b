// @ts-check
/** Graphs and workflows of runs, from this page's own records and the server's queue and history. */

import { listOf, ownProperty } from "./plain_values.js";

/** @typedef {[number, string, Record<string, any>, Record<string, any>]} Entry  number, run, graph, extra data */

const WAITS_MS = [0, 200, 500, 1000]; // a run that just ended may not be in the history yet
const MAX_RUNS = 50;

/** Looks up runs by id. */
export class RunRecords {
  /** @param {(address: string) => Promise<any>} read  GETs JSON from the server; rejects without a usable answer
   *  @param {number[]} [waits] */
  constructor(read, waits = WAITS_MS) {
    this.read = read;
    this.waits = waits;
    /** @type {Map<string, Promise<string | undefined>>} */
    this.workflows = new Map();
    /** The open workflows that runs were queued from, by run. @type {Map<string, unknown>} */
    this.localWorkflows = new Map();
    /** Runs without an id yet, whose first events may arrive before it. @type {Set<Promise<void>>} */
    this.sending = new Set();
  }

  /** Records a run that this page queues. @param {Promise<{prompt_id?: string} | undefined>} answer
   *  @param {unknown} workflow */
  queued(answer, workflow) {
    const noted = Promise.resolve(answer) // other extensions may return anything
      .then(
        (answered) => answered?.prompt_id && remember(this.localWorkflows, answered.prompt_id, workflow),
        () => {}, // whoever queued it handles the error
      )
      .then(() => void this.sending.delete(noted));
    this.sending.add(noted);
  }

  /** The open workflow that a run was queued from; undefined if it was queued elsewhere, or before a reload.
   *  @param {string} run */
  async localWorkflow(run) {
    await Promise.all(this.sending);
    return this.localWorkflows.get(run);
  }

  /** A run's graph, from the queue while it runs, then from the history; undefined if neither has it.
   *  @param {string} run */
  async graph(run) {
    return (await this.#entry(run))?.[2];
  }

  /** Id of the workflow that a run was queued from; undefined if there was none. If the server does not answer, the next
   *  call asks again. @param {string} run */
  workflowId(run) {
    const known = this.workflows.get(run);
    if (known) return known;
    const asked = this.#entry(run).then((entry) => {
      if (!entry) this.workflows.delete(run);
      return entry?.[3]?.extra_pnginfo?.workflow?.id;
    });
    remember(this.workflows, run, asked);
    return asked;
  }

  /** @param {string} run @returns {Promise<Entry | undefined>} */
  async #entry(run) {
    for (const wait of this.waits) {
      await new Promise((done) => setTimeout(done, wait));
      const queue = await this.#readOrWarn("/queue");
      const running = listOf(ownProperty(queue, "queue_running")).find((entry) => listOf(entry)[1] === run);
      const history = running ? null : await this.#readOrWarn(`/history/${encodeURIComponent(run)}`);
      const entry = running ?? ownProperty(ownProperty(history, run), "prompt");
      if (Array.isArray(entry)) return /** @type {Entry} */ (entry);
    }
    return undefined;
  }

  /** The server's answer; undefined without one, as through a proxy while the server restarts.
   *  @param {string} address */
  async #readOrWarn(address) {
    try {
      return await this.read(address);
    } catch (error) {
      console.warn(`EchoGen: can't read ${address}, so a run's pictures may be late.`, error);
      return undefined;
    }
  }
}

/** @template T @param {Map<string, T>} known @param {string} run @param {T} what */
function remember(known, run, what) {
  known.set(run, what);
  const [oldest] = known.keys();
  if (known.size > MAX_RUNS) known.delete(oldest);
}
