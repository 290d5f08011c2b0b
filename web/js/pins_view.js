// @ts-check
/** The row of pinned results. */

import { make } from "./dom.js";
import { details, caption } from "./pins.js";

/** @typedef {import("./pins.js").Pin} Pin */

/** Draws a thumbnail and caption per pin, with a button to remove it. */
export class PinsView {
  /**
   * @param {Record<string, string>} texts @param {(pin: Pin) => void} chosen @param {(pin: Pin) => void} removed
   * @param {Document} page
   */
  constructor(texts, chosen, removed, page) {
    this.texts = texts;
    this.chosen = chosen;
    this.removed = removed;
    this.page = page;
    this.drawn = "";
    this.root = make(page, "div", { className: "pins", hidden: true });
  }

  /** @param {Pin[]} pins @param {string[]} pair  those that are shown large */
  draw(pins, pair) {
    const state = `${pins.map(({ id }) => id)} | ${pair}`;
    if (state === this.drawn) return;
    this.drawn = state;
    this.root.hidden = pins.length === 0;
    this.root.replaceChildren(...pins.map((pin) => this.#pin(pin, pair.includes(pin.id))));
  }

  /** @param {Pin} pin @param {boolean} pressed */
  #pin(pin, pressed) {
    const image = make(this.page, "img", { src: pin.thumb, alt: "", draggable: false });
    const label = make(this.page, "span", { textContent: caption(pin) });
    const title = `${details(pin)}\n\n${this.texts.pinned_help}`;
    const choose = make(this.page, "button", { type: "button", title }, image, label);
    choose.ariaPressed = String(pressed);
    choose.addEventListener("click", () => this.chosen(pin));
    const name = `${this.texts.unpin}: ${caption(pin)}`;
    const remove = make(this.page, "button", { type: "button", className: "unpin", textContent: "×" });
    remove.title = remove.ariaLabel = name;
    remove.addEventListener("click", () => this.removed(pin));
    return make(this.page, "div", { className: "pinned" }, choose, remove);
  }
}
