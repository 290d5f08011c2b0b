// @ts-check
/**
 * Live runs: at most one is queued, the newest; the running one is cancelled or left to finish, as chosen.
 * Touches only runs that it queued itself, by their ids. No DOM, no graph.
 */

/**
 * The server's interface; to cancel a run that has ended, or is no longer queued, must have no effect.
 * @typedef {object} Runs
 * @property {() => Promise<string>} queue  queues the current graph; returns its id, or rejects with the reason
 * @property {(id: string) => Promise<unknown>} drop  removes a queued run from the queue
 * @property {(id: string) => Promise<unknown>} interrupt  stops that run, if it is running
 */
/** @typedef {"idle" | "sending" | "waiting" | "running"} Phase */
/** @typedef {{owner: string, cancels: boolean}} Request  who asks, and whether to cancel a run in progress */

const MAX_RUNS = 50; // runs; events of a run may arrive before its id

/** Queues the latest request only, and tracks its run. */
export class LiveQueue {
  /** @param {Runs} runs */
  constructor(runs) {
    this.runs = runs;
    /** Owner of the newest run or request. */
    this.owner = "";
    /** Why the server refused the newest run; '' if it did not. */
    this.refusal = "";
    /** @type {string | null} */
    this.newestRun = null;
    this.sending = false;
    this.cancels = true;
    /** @type {Request | null} */
    this.pending = null;
    /** @type {string[]} ids of runs that may not have ended yet, oldest first */
    this.unfinished = [];
    /** @type {Map<string, "running" | "dropped" | "over">} */
    this.states = new Map();
  }

  /** Requests a run of the graph, as it will be when it is sent. @param {string} owner @param {boolean} cancels */
  async request(owner, cancels) {
    this.pending = { owner, cancels };
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.pending) await this.#send(this.pending);
    } finally {
      this.sending = false;
    }
  }

  /** Withdraws an owner's requests: queued runs are removed, a running one is stopped only if `cancels`.
   *  @param {string} owner @param {boolean} cancels */
  async stop(owner, cancels) {
    if (this.pending?.owner === owner) this.pending = null;
    if (this.owner !== owner) return;
    this.owner = this.refusal = "";
    this.cancels = cancels;
    await this.#cancelRuns(this.unfinished);
  }

  /** The server has started a run, ours or not. @param {string} id */
  started(id) {
    const startedAnyway = this.states.get(id) === "dropped"; // it started while we were removing it
    this.#setState(id, "running");
    const place = this.unfinished.indexOf(id);
    if (place > 0) this.unfinished.splice(0, place); // runs start in order: earlier ones have ended or were removed
    if (startedAnyway && this.cancels) void this.runs.interrupt(id);
  }

  /** A run, ours or not, has ended, successfully or not. @param {string} id */
  ended(id) {
    this.#setState(id, "over");
    this.unfinished = this.unfinished.filter((other) => other !== id);
  }

  /** State of an owner's newest run. @param {string} owner @returns {Phase} */
  phase(owner) {
    if (this.pending?.owner === owner) return "sending";
    if (this.owner !== owner) return "idle";
    if (this.sending) return "sending";
    if (this.newestRun === null || !this.unfinished.includes(this.newestRun)) return "idle";
    return this.states.get(this.newestRun) === "running" ? "running" : "waiting";
  }

  /** @param {Request} request */
  async #send({ owner, cancels }) {
    this.pending = null;
    this.owner = owner;
    this.cancels = cancels;
    const [answer] = await Promise.allSettled([this.runs.queue(), this.#cancelRuns(this.unfinished)]);
    if (answer.status === "rejected") {
      this.newestRun = null;
      this.refusal = String(answer.reason?.message ?? answer.reason);
      return;
    }
    this.refusal = "";
    this.newestRun = answer.value;
    if (this.states.get(this.newestRun) === "over") return;
    this.unfinished.push(this.newestRun);
    if (this.owner !== owner) await this.#cancelRuns([this.newestRun]); // stopped while it was being sent
  }

  /** @param {string[]} ids */
  async #cancelRuns(ids) {
    await Promise.all(
      ids.map((id) => {
        if (this.states.get(id) === "running") return this.cancels ? this.runs.interrupt(id) : null;
        if (this.states.get(id) === "dropped") return null;
        this.#setState(id, "dropped");
        return this.runs.drop(id);
      }),
    );
  }

  /** @param {string} id @param {"running" | "dropped" | "over"} what */
  #setState(id, what) {
    this.states.delete(id);
    this.states.set(id, what);
    const [oldest] = this.states.keys();
    if (this.states.size > MAX_RUNS) this.states.delete(oldest);
  }
}
