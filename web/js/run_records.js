// @ts-check
/** What the server has on record of runs: their graphs, and the workflows that they were queued from. */

import { listOf, own } from "./outside.js";

/** @typedef {[number, string, Record<string, any>, Record<string, any>]} Entry  number, run, graph, what came with it */

const WAITS_MS = [0, 200, 500, 1000]; // a run that has just ended may not be in the history yet
const REMEMBERED = 50; // runs

export class RunRecords {
  /** @param {(address: string) => Promise<any>} read  asks the server; rejects where no answer of use came
   *  @param {number[]} [waits] */
  constructor(read, waits = WAITS_MS) {
    this.read = read;
    this.waits = waits;
    /** @type {Map<string, Promise<string | undefined>>} */
    this.workflows = new Map();
    /** The page's workflows that runs were queued from. @type {Map<string, unknown>} */
    this.own = new Map();
    /** Runs that the server has not given an id yet; it may speak of them before it does. @type {Set<Promise<void>>} */
    this.sending = new Set();
  }

  /** Notes a run that this page queues. @param {Promise<{prompt_id?: string} | undefined>} answer
   *  @param {unknown} workflow */
  sent(answer, workflow) {
    const noted = Promise.resolve(answer) // other extensions may answer in their own way
      .then(
        (told) => told?.prompt_id && remember(this.own, told.prompt_id, workflow),
        () => {}, // whoever queued it is told why
      )
      .then(() => void this.sending.delete(noted));
    this.sending.add(noted);
  }

  /** The page's workflow that a run was queued from; undefined where it was queued elsewhere, or before a reload.
   *  @param {string} run */
  async ownWorkflow(run) {
    await Promise.all(this.sending);
    return this.own.get(run);
  }

  /** A run's graph: from the queue while it runs, then from the history; undefined where neither tells.
   *  @param {string} run */
  async graph(run) {
    return (await this.#entry(run))?.[2];
  }

  /** Number of the workflow that a run was queued from; undefined where it came from none, or where the server does not
   *  tell: then the next one who asks has it asked again. @param {string} run */
  workflow(run) {
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
      const queue = await this.#told("/queue");
      const running = listOf(own(queue, "queue_running")).find((entry) => listOf(entry)[1] === run);
      const entry = running ?? own(own(await this.#told(`/history/${encodeURIComponent(run)}`), run), "prompt");
      if (Array.isArray(entry)) return /** @type {Entry} */ (entry);
    }
    return undefined;
  }

  /** An answer; undefined where none came, as through a proxy whose server is away for a moment.
   *  @param {string} address */
  async #told(address) {
    try {
      return await this.read(address);
    } catch (error) {
      console.warn(`EchoGen: ${address} could not be read, so a run's pictures may come late.`, error);
      return undefined;
    }
  }
}

/** @template T @param {Map<string, T>} known @param {string} run @param {T} what */
function remember(known, run, what) {
  known.set(run, what);
  const [oldest] = known.keys();
  if (known.size > REMEMBERED) known.delete(oldest);
}
