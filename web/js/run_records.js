// @ts-check
/** Which runs this page queued, from which workflow, and their graphs from the server's queue and history. */

import { isRecord, listOf, ownProperty } from "./plain_values.js";

/** @typedef {[number, string, Record<string, any>, Record<string, any>]} Entry  number, run, graph, extra data */
/**
 * Where a run was queued from.
 * @typedef {object} Origin
 * @property {any} workflow  the open workflow; undefined if the run was queued before a reload
 * @property {string} path  that workflow's path, which outlives a reload
 * @property {Record<string, string>} samplers  the samplers' keys in the workflow, by execution id
 * @property {Record<string, string>} works  what they compute, by execution id: strip_store.js
 */
/** @typedef {{getItem: (name: string) => string | null, setItem: (name: string, text: string) => void}} Storage */

const WAITS_MS = [0, 200, 500, 1000]; // a run that just ended may not be in the history yet
const MAX_RUNS = 500; // more than one press of Run queues
const STORED = "EchoGen.runs";

/** Looks up runs by id. */
export class RunRecords {
  /** @param {(address: string) => Promise<any>} read  GETs JSON from the server; rejects without a usable answer
   *  @param {Storage} [storage]  of this page alone, kept through reloads
   *  @param {number[]} [waits]
   *  @param {() => string} [page]  this page's id: kept through reloads, another one in a duplicated tab, which copies
   *    the storage */
  constructor(read, storage, waits = WAITS_MS, page = () => "") {
    this.read = read;
    this.storage = storage;
    this.waits = waits;
    this.page = page;
    /** @type {Map<string, Origin>} */
    this.origins = new Map(this.#stored());
    /** Runs without an id yet, whose first events may arrive before it. @type {Set<Promise<void>>} */
    this.sending = new Set();
  }

  /** Records a run that this page queues. @param {Promise<{prompt_id?: string} | undefined>} answer
   *  @param {Origin} origin */
  queued(answer, origin) {
    const noted = Promise.resolve(answer) // other extensions may return anything
      .then(
        (answered) => answered?.prompt_id && this.#remember(answered.prompt_id, origin),
        () => {}, // whoever queued it handles the error
      )
      .then(() => void this.sending.delete(noted));
    this.sending.add(noted);
  }

  /** Where this page queued a run from; undefined if it was queued elsewhere. @param {string} run */
  async origin(run) {
    await Promise.all(this.sending);
    return this.origins.get(run);
  }

  /** A run's graph, from the queue while it runs, then from the history; undefined if neither has it.
   *  @param {string} run */
  async graph(run) {
    return (await this.#entry(run))?.[2];
  }

  /** @param {string} run @param {Origin} origin */
  #remember(run, origin) {
    this.origins.set(run, origin);
    const [oldest] = this.origins.keys();
    if (this.origins.size > MAX_RUNS) this.origins.delete(oldest);
    const lasting = [...this.origins].map(([id, { path, samplers, works }]) => [id, path, samplers, works]);
    try {
      this.storage?.setItem(STORED, JSON.stringify({ page: this.page(), runs: lasting }));
    } catch (error) {
      console.warn("EchoGen: the browser stores nothing, so a reload forgets which runs are this page's.", error);
      this.storage = undefined;
    }
  }

  /** @returns {[string, Origin][]} */
  #stored() {
    /** @type {unknown} */
    let stored;
    try {
      stored = JSON.parse(this.storage?.getItem(STORED) ?? "[]");
    } catch {
      return []; // blocked by the browser, or written by something else
    }
    if (ownProperty(stored, "page") !== this.page()) return [];
    return listOf(ownProperty(stored, "runs")).flatMap((entry) => {
      const [run, path, samplers, works] = listOf(entry);
      const texts = [run, path].every((text) => typeof text === "string");
      const valid = texts && isRecord(samplers) && isRecord(works);
      return valid ? [/** @type {[string, Origin]} */ ([run, { workflow: undefined, path, samplers, works }])] : [];
    });
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
      console.warn(`EchoGen: can't read ${address}, so a pin may lack its settings.`, error);
      return undefined;
    }
  }
}
