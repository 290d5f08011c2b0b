// @ts-check
/** What happens in each open workflow, whether it is shown or not: Live runs, strips, resolved prompts. No DOM. */

import { KeptValues } from "./kept_values.js";
import { LiveQueue } from "./live_queue.js";
import { listOf, ownProperty } from "./plain_values.js";
import { ScaleStrip } from "./scale_strip.js";

const WAITS_MS = [500, 1000, 2000, 4000, 8000]; // before the queue is read again, the last one over and over

/** One open workflow. */
export class Session {
  /** @param {unknown} workflow @param {(session: Session) => import("./live_queue.js").Runs} runsOf
   *  @param {import("./live_queue.js").Link} link */
  constructor(workflow, runsOf, link) {
    this.workflow = workflow;
    /** @type {Map<string, ScaleStrip>} */
    this.strips = new Map();
    /** What prompts came to: one text for all samplers. */
    this.kept = new KeptValues();
    /** Keys of the samplers with Live on, which no file ever says. @type {Set<string>} */
    this.liveKeys = new Set();
    this.live = new LiveQueue(runsOf(this), link);
  }

  /** A sampler's strip, by its key in the workflow. @param {string} key @returns {ScaleStrip} */
  strip(key) {
    const known = this.strips.get(key);
    if (known) return known;
    const made = new ScaleStrip();
    this.strips.set(key, made);
    return made;
  }

  /** Turns a sampler's Live on. @param {string} key */
  startLive(key) {
    this.liveKeys.add(key);
  }

  /** Turns a sampler's Live off, and withdraws its runs. @param {string} key @param {boolean} cancels */
  endLive(key, cancels) {
    if (!this.liveKeys.delete(key)) return;
    if (!this.liveKeys.size) this.kept.clear();
    void this.live.stop(key, cancels);
  }
}

/** All open workflows. */
export class Sessions {
  /**
   * @param {(session: Session) => import("./live_queue.js").Runs} runsOf
   * @param {(address: string) => Promise<any>} read  GETs JSON from the server
   * @param {number[]} [waits]
   */
  constructor(runsOf, read, waits = WAITS_MS) {
    this.runsOf = runsOf;
    this.read = read;
    this.waits = waits;
    /** @type {Map<unknown, Session>} */
    this.all = new Map();
    /** @type {Promise<void> | null} */
    this.reading = null;
    this.readAgain = false;
    /** Whether the server does not answer. */
    this.offline = false;
    /** How often the connection was lost: what was asked before a loss says nothing of the server after it. */
    this.losses = 0;
    /** Readings of the queue that failed in a row. */
    this.failures = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** The session of a workflow. @param {unknown} workflow @returns {Session} */
  of(workflow) {
    const known = this.all.get(workflow);
    if (known) return known;
    const made = new Session(workflow, this.runsOf, this);
    this.all.set(workflow, made);
    return made;
  }

  /** Tells the Live queues of all workflows. @param {(live: LiveQueue) => void} tell */
  tell(tell) {
    for (const { live } of this.all.values()) tell(live);
  }

  /** The connection to the server was lost. */
  lost() {
    this.offline = true;
    this.losses += 1;
  }

  /** A request got no answer: asks until the server answers. */
  unreachable() {
    this.lost();
    this.#readLater();
  }

  /** The server answers: sends what got no answer once more. @param {number} [losses]  as they were when it was asked */
  answered(losses = this.losses) {
    if (!this.offline || losses !== this.losses) return;
    this.offline = false;
    this.tell((live) => void live.resend());
  }

  /** Forgets workflows that were closed; their Live runs are withdrawn. @param {(workflow: unknown) => boolean} isOpen */
  prune(isOpen) {
    for (const [workflow, { live }] of this.all) {
      if (isOpen(workflow)) continue;
      void live.stop(live.owner, live.cancels);
      this.all.delete(workflow);
    }
  }

  /** Compares Live runs with the server's queue, as other pages and the menu change it too. Calls during one become
   *  one more. */
  async reconcile() {
    this.readAgain = true;
    this.reading ??= this.#readQueue().finally(() => (this.reading = null));
    await this.reading;
  }

  async #readQueue() {
    while (this.readAgain) {
      this.readAgain = false;
      const asked = [...this.all.values()].map(({ live }) => /** @type {const} */ ([live, [...live.unfinished]]));
      if (!this.offline && !asked.some(([, ids]) => ids.length)) return;
      const { losses } = this;
      const queue = await this.read("/queue").catch(() => null);
      const [running, waiting] = ["queue_running", "queue_pending"].map((name) => ownProperty(queue, name));
      if (!Array.isArray(running) || !Array.isArray(waiting)) return this.#readLater();
      this.failures = 0;
      this.answered(losses);
      const ids = (/** @type {unknown[]} */ entries) => entries.map((entry) => String(listOf(entry)[1]));
      for (const [live, unfinished] of asked) live.reconcile(unfinished, ids(running), ids(waiting));
    }
  }

  #readLater() {
    clearTimeout(this.timer);
    const wait = this.waits[Math.min(this.failures++, this.waits.length - 1)];
    this.timer = setTimeout(() => void this.reconcile(), wait);
  }
}
