// @ts-check
/** What happens in each open workflow, whether it is shown or not: Live runs, strips, resolved prompts. No DOM. */

import { KeptValues } from "./kept_values.js";
import { LiveQueue } from "./live_queue.js";
import { listOf, ownProperty } from "./plain_values.js";
import { ScaleStrip } from "./scale_strip.js";

/** @typedef {{strip: ScaleStrip, kept: KeptValues}} Sampler */

/** One open workflow. */
export class Session {
  /** @param {unknown} workflow @param {(session: Session) => import("./live_queue.js").Runs} runsOf */
  constructor(workflow, runsOf) {
    this.workflow = workflow;
    /** @type {Map<string, Sampler>} */
    this.samplers = new Map();
    this.live = new LiveQueue(runsOf(this));
  }

  /** A sampler's own, by its key in the workflow. @param {string} key @returns {Sampler} */
  sampler(key) {
    const known = this.samplers.get(key);
    if (known) return known;
    const made = { strip: new ScaleStrip(), kept: new KeptValues() };
    this.samplers.set(key, made);
    return made;
  }

  /** Live has been switched off for a sampler. @param {string} key @param {boolean} cancels */
  endLive(key, cancels) {
    this.samplers.get(key)?.kept.clear();
    void this.live.stop(key, cancels);
  }
}

/** All open workflows. */
export class Sessions {
  /**
   * @param {(session: Session) => import("./live_queue.js").Runs} runsOf
   * @param {(address: string) => Promise<any>} read  GETs JSON from the server
   * @param {(workflow: any) => {run: string, live: string} | undefined} [liveBefore]  its Live run before a reload
   */
  constructor(runsOf, read, liveBefore = () => undefined) {
    this.runsOf = runsOf;
    this.read = read;
    this.liveBefore = liveBefore;
    /** @type {Map<unknown, Session>} */
    this.all = new Map();
    /** @type {Promise<void> | null} */
    this.reading = null;
    this.readAgain = false;
    this.offline = false;
  }

  /** The session of a workflow. @param {unknown} workflow @returns {Session} */
  of(workflow) {
    const known = this.all.get(workflow);
    if (known) return known;
    const made = new Session(workflow, this.runsOf);
    made.live.offline = this.offline;
    this.all.set(workflow, made);
    const before = this.liveBefore(workflow);
    if (before) {
      made.live.adopt(before.live, before.run);
      void this.reconcile();
    }
    return made;
  }

  /** Tells the Live queues of all workflows. @param {(live: LiveQueue) => void} tell */
  tell(tell) {
    for (const { live } of this.all.values()) tell(live);
  }

  /** The connection to the server was lost, or is there again. @param {boolean} online */
  connection(online) {
    this.offline = !online;
    this.tell((live) => (live.offline = !online));
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
      if (!asked.some(([, ids]) => ids.length)) return;
      const queue = await this.read("/queue").catch(() => null); // read again on the server's next event
      const [running, waiting] = ["queue_running", "queue_pending"].map((name) => ownProperty(queue, name));
      if (!Array.isArray(running) || !Array.isArray(waiting)) return;
      const ids = (/** @type {unknown[]} */ entries) => entries.map((entry) => String(listOf(entry)[1]));
      for (const [live, unfinished] of asked) live.reconcile(unfinished, ids(running), ids(waiting));
    }
  }
}
