// @ts-check
/** The row with the Live switch, the choice what to do with a run in progress, and the newest run's state. */

import { make } from "./dom.js";

/** @typedef {import("./live_queue.js").Phase} Phase */
/** @typedef {{on: boolean, cancels: boolean}} Choice */

/** Draws the row. */
export class LiveRow {
  /** @param {Record<string, string>} texts @param {(choice: Choice) => void} chosen @param {Document} page */
  constructor(texts, chosen, page) {
    this.texts = texts;
    this.drawn = "";
    this.toggle = make(page, "button", { type: "button", className: "live", textContent: texts.live });
    this.toggle.title = texts.live_help;
    this.running = make(
      page,
      "select",
      { title: texts.running_help, ariaLabel: texts.running_help },
      make(page, "option", { value: "cancel", textContent: texts.running_cancel }),
      make(page, "option", { value: "finish", textContent: texts.running_finish }),
    );
    this.status = make(page, "span", { className: "status" });
    this.status.setAttribute("role", "status");
    this.root = make(page, "div", { className: "live-row" }, this.toggle, this.running, this.status);
    const choice = () => ({ on: this.toggle.ariaPressed === "true", cancels: this.running.value === "cancel" });
    this.toggle.addEventListener("click", () => chosen({ ...choice(), on: !choice().on }));
    this.running.addEventListener("change", () => chosen(choice()));
  }

  /** @param {Choice} choice @param {Phase} phase @param {string} refusal */
  draw({ on, cancels }, phase, refusal) {
    const state = `${on} ${cancels} ${phase} ${refusal}`;
    if (state === this.drawn) return;
    this.drawn = state;
    this.toggle.ariaPressed = String(on);
    this.toggle.classList.toggle("on-accent", on);
    this.running.value = cancels ? "cancel" : "finish";
    this.status.textContent = on ? refusal || (this.texts[`live_${phase}`] ?? "") : "";
    this.status.title = this.status.textContent;
    this.status.classList.toggle("on-error", on && refusal !== "");
  }
}
