// @ts-check
/**
 * Live runs: at most one waits, the newest; the one that runs is cancelled or left to finish, as chosen.
 * Speaks of runs by the ids that the server gave them, and of no others. No page, no graph.
 */

/**
 * What it needs of the server; giving up a run that has ended, or that waits no more, must do no harm.
 * @typedef {object} Runs
 * @property {() => Promise<string>} queue  queues the graph as it is now; its id, or an error that says why not
 * @property {(id: string) => Promise<unknown>} drop  takes a run that still waits out of the queue
 * @property {(id: string) => Promise<unknown>} interrupt  stops that run, if it is the one that runs
 */
/** @typedef {"idle" | "sending" | "waiting" | "running"} Phase */
/** @typedef {{owner: string, cancels: boolean}} Wish  who asks, and whether a running run is to be cancelled */

const REMEMBERED = 50; // runs; what is heard of a run may come before its id

export class LiveQueue {
  /** @param {Runs} runs */
  constructor(runs) {
    this.runs = runs;
    /** Whose the newest run is, or is to be. */
    this.owner = "";
    /** Why the newest run was refused. */
    this.refusal = "";
    /** @type {string | null} */
    this.newest = null;
    this.sending = false;
    this.cancels = true;
    /** @type {Wish | null} */
    this.wish = null;
    /** @type {string[]} ids of runs that may not have ended, oldest first */
    this.open = [];
    /** @type {Map<string, "running" | "dropped" | "over">} */
    this.heard = new Map();
  }

  /** Asks for a run of the graph as it will be when it is sent. @param {string} owner @param {boolean} cancels */
  async request(owner, cancels) {
    this.wish = { owner, cancels };
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.wish) await this.#send(this.wish);
    } finally {
      this.sending = false;
    }
  }

  /** Ends an owner's wish: what waits is taken back; what runs, only when it is to be cancelled.
   *  @param {string} owner @param {boolean} cancels */
  async stop(owner, cancels) {
    if (this.wish?.owner === owner) this.wish = null;
    if (this.owner !== owner) return;
    this.owner = this.refusal = "";
    this.cancels = cancels;
    await this.#giveUp(this.open);
  }

  /** The server has begun a run, ours or not. @param {string} id */
  started(id) {
    const late = this.heard.get(id) === "dropped"; // it began while we took it back
    this.#hear(id, "running");
    const place = this.open.indexOf(id);
    if (place > 0) this.open.splice(0, place); // runs begin in order: those before are over, or gone
    if (late && this.cancels) void this.runs.interrupt(id);
  }

  /** A run, ours or not, has ended, well or badly. @param {string} id */
  ended(id) {
    this.#hear(id, "over");
    this.open = this.open.filter((other) => other !== id);
  }

  /** Where an owner's newest run stands. @param {string} owner @returns {Phase} */
  phase(owner) {
    if (this.wish?.owner === owner) return "sending";
    if (this.owner !== owner) return "idle";
    if (this.sending) return "sending";
    if (this.newest === null || !this.open.includes(this.newest)) return "idle";
    return this.heard.get(this.newest) === "running" ? "running" : "waiting";
  }

  /** @param {Wish} wish */
  async #send({ owner, cancels }) {
    this.wish = null;
    this.owner = owner;
    this.cancels = cancels;
    const [answer] = await Promise.allSettled([this.runs.queue(), this.#giveUp(this.open)]);
    if (answer.status === "rejected") {
      this.newest = null;
      this.refusal = String(answer.reason?.message ?? answer.reason);
      return;
    }
    this.refusal = "";
    this.newest = answer.value;
    if (this.heard.get(this.newest) === "over") return;
    this.open.push(this.newest);
    if (this.owner !== owner) await this.#giveUp([this.newest]); // stopped while it was sent
  }

  /** @param {string[]} ids */
  async #giveUp(ids) {
    await Promise.all(
      ids.map((id) => {
        if (this.heard.get(id) === "running") return this.cancels ? this.runs.interrupt(id) : null;
        if (this.heard.get(id) === "dropped") return null;
        this.#hear(id, "dropped");
        return this.runs.drop(id);
      }),
    );
  }

  /** @param {string} id @param {"running" | "dropped" | "over"} what */
  #hear(id, what) {
    this.heard.delete(id);
    this.heard.set(id, what);
    const [oldest] = this.heard.keys();
    if (this.heard.size > REMEMBERED) this.heard.delete(oldest);
  }
}
