// @ts-check
/**
 * Live runs of one workflow: at most one is queued, the newest; the running one is cancelled or left to finish, as
 * chosen. Touches only runs that it queued itself, by their ids. No DOM, no graph.
 */

/**
 * The server's interface; to cancel a run that has ended, or is no longer queued, must have no effect.
 * @typedef {object} Runs
 * @property {(owner: string) => boolean} inView  whether the owner's graph is shown, as only that can be queued
 * @property {(owner: string) => Promise<string | null>} queue  queues the graph and returns the run's id, null if it is
 *   no longer in view; rejects with the reason, an Unreachable if the server does not answer
 * @property {(id: string) => Promise<unknown>} drop  removes a queued run from the queue
 * @property {(id: string) => Promise<unknown>} interrupt  stops that run, if it is running
 * @property {(id: string) => Promise<unknown>} forget  removes a run that has ended from the server's history
 */
/** @typedef {"idle" | "sending" | "waiting" | "running" | "offline"} Phase */
/**
 * Who asks, and whether to cancel a run in progress; `again` if it is sent for the second time.
 * @typedef {{owner: string, cancels: boolean, again?: boolean}} Request
 */
/**
 * Whether the server answers, and how often the connection to it was lost.
 * @typedef {{offline: boolean, losses: number, unreachable: () => void, answered: (losses: number) => void}} Link
 */

/** @typedef {"running" | "dropped" | "drawn" | "failed" | "over"} State  over: ended, but we don't know how */

const ENDED = ["drawn", "failed", "over"];
const MAX_RUNS = 50; // runs; events of a run may arrive before its id

/** The server does not answer. */
export class Unreachable extends Error {}

/** Queues the latest request only, and tracks its run. */
export class LiveQueue {
  /** @param {Runs} runs @param {Link} link */
  constructor(runs, link) {
    this.runs = runs;
    this.link = link;
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
    /** What got no answer, until the server answers. @type {Request | null} */
    this.unanswered = null;
    /** @type {string[]} ids of runs that may not have ended yet, oldest first */
    this.unfinished = [];
    /** @type {Map<string, State>} */
    this.states = new Map();
    /** The newest run that drew its picture: the only one that stays in the history. @type {string | null} */
    this.drawn = null;
    /** Ended runs that may still be in the history. @type {Set<string>} */
    this.outdated = new Set();
  }

  /** Requests a run of the graph, as it will be when it is sent. @param {string} owner @param {boolean} cancels */
  async request(owner, cancels) {
    await this.#ask({ owner, cancels });
  }

  /** The server answers again: sends what got no answer once more. */
  async resend() {
    if (this.unanswered) await this.#ask({ ...this.unanswered, again: true });
  }

  /** @param {Request} request */
  async #ask(request) {
    this.unanswered = null;
    this.pending = request;
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
    if (this.unanswered?.owner === owner) this.unanswered = null;
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
    if (place >= 0) this.#emptyHistory();
    if (place > 0) this.unfinished.splice(0, place); // runs start in order: earlier ones have ended or were removed
    if (startedAnyway && this.cancels) void this.runs.interrupt(id);
  }

  /** A run, ours or not, has ended. @param {string} id @param {"drawn" | "failed" | "over"} [how] */
  ended(id, how = "over") {
    this.#setState(id, how);
    if (this.unfinished.includes(id)) this.#outdate(id);
    this.unfinished = this.unfinished.filter((other) => other !== id);
  }

  /** Leaves only the newest picture of our runs in the server's history. A run is in there shortly after its end. */
  tidyHistory() {
    for (const id of this.outdated) void this.runs.forget(id);
  }

  /** As `tidyHistory`, once a later run has started: by then all of them are in there. */
  #emptyHistory() {
    this.tidyHistory();
    this.outdated.clear();
  }

  /** @param {string} id  a run of ours that has ended */
  #outdate(id) {
    const how = this.states.get(id);
    if (how === "failed") this.outdated.add(id);
    if (how !== "drawn") return;
    if (this.drawn !== null) this.outdated.add(this.drawn);
    this.drawn = id;
  }

  /**
   * Corrects the runs' states by the server's queue: one in neither list was deleted, or ended unheard.
   * @param {string[]} asked  runs that were unfinished before the queue was read
   * @param {string[]} running @param {string[]} waiting
   */
  reconcile(asked, running, waiting) {
    for (const id of asked) {
      if (running.includes(id)) {
        if (!["running", ...ENDED].includes(this.states.get(id) ?? "")) this.started(id);
      } else if (!waiting.includes(id)) this.ended(id);
    }
  }

  /** State of an owner's newest run. @param {string} owner @returns {Phase} */
  phase(owner) {
    if (this.link.offline) return "offline";
    if (this.pending?.owner === owner) return "sending";
    if (this.owner !== owner) return "idle";
    if (this.sending) return "sending";
    if (this.newestRun === null || !this.unfinished.includes(this.newestRun)) return "idle";
    return this.states.get(this.newestRun) === "running" ? "running" : "waiting";
  }

  /** @param {Request} request */
  async #send(request) {
    const { owner, cancels } = request;
    this.pending = null;
    if (!this.runs.inView(owner)) return;
    this.owner = owner;
    this.cancels = cancels;
    this.refusal = "";
    const { losses } = this.link;
    const [answer] = await Promise.allSettled([this.runs.queue(owner), this.#cancelRuns(this.unfinished)]);
    this.newestRun = null;
    if (answer.status === "rejected") return this.#refused(answer.reason, request, losses);
    this.link.answered(losses);
    if (answer.value === null) return;
    this.newestRun = answer.value;
    if (ENDED.includes(this.states.get(this.newestRun) ?? "")) return this.#outdate(this.newestRun);
    this.unfinished.push(this.newestRun);
    if (this.owner !== owner) await this.#cancelRuns([this.newestRun]); // stopped while it was being sent
  }

  /** @param {any} reason @param {Request} request @param {number} losses  before it was sent */
  #refused(reason, request, losses) {
    const away = reason instanceof Unreachable;
    if (away && !request.again) {
      // Not to be sent again if it was withdrawn, or a newer request came, while it was being sent.
      if (this.owner === request.owner && !this.pending) this.unanswered = request;
    } else this.refusal = String(reason?.message ?? reason);
    if (away) this.link.unreachable();
    else this.link.answered(losses);
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

  /** @param {string} id @param {State} what */
  #setState(id, what) {
    this.states.delete(id);
    this.states.set(id, what);
    const [oldest] = this.states.keys();
    if (this.states.size > MAX_RUNS) this.states.delete(oldest);
  }
}
