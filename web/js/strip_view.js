// @ts-check
/** Draws the scales of the latest run as thumbnails, with the button that pins its result. */

import { make, show } from "./dom.js";

/** @typedef {import("./scale_strip.js").ScaleStrip} ScaleStrip */

/** The strip below the pad. */
export class StripView {
  /**
   * @param {Record<string, string>} texts @param {(scale: number) => void} picked  counted from 0
   * @param {() => void} pinned @param {Document} page
   */
  constructor(texts, picked, pinned, page) {
    this.texts = texts;
    this.picked = picked;
    this.page = page;
    this.drawn = "";
    /** @type {{button: HTMLButtonElement, image: HTMLImageElement, picture: Blob | undefined}[]} */
    this.slots = [];
    this.scales = make(page, "div", { className: "scales" });
    this.pin = make(page, "button", { type: "button", textContent: texts.pin, title: texts.pin_help });
    this.pin.addEventListener("click", pinned);
    this.root = make(page, "div", { className: "strip", hidden: true }, this.scales, this.pin);
  }

  /** @param {ScaleStrip} strip @param {number | null} enlarged  the scale shown enlarged */
  draw(strip, enlarged) {
    const count = Math.max(strip.total, strip.pictures.length);
    const state = `${strip.run} ${count} ${Object.keys(strip.pictures)} ${enlarged}`;
    if (state === this.drawn) return;
    this.drawn = state;
    while (this.slots.length < count) this.#add();
    for (const { button } of this.slots.splice(count)) button.remove();
    this.slots.forEach((slot, scale) => {
      const picture = strip.pictures[scale];
      slot.button.disabled = !picture;
      slot.button.ariaPressed = String(scale === enlarged);
      if (slot.picture === picture) return;
      slot.picture = picture;
      slot.image.hidden = !picture;
      if (picture) show(slot.image, picture);
    });
    this.root.hidden = count === 0;
    this.root.dataset.run = strip.run;
    this.pin.disabled = !strip.finished;
  }

  #add() {
    const scale = this.slots.length;
    const name = `${this.texts.scale} ${scale + 1}`;
    const image = make(this.page, "img", { alt: "", draggable: false, hidden: true });
    const button = make(this.page, "button", { type: "button", title: name, ariaLabel: name }, image);
    button.addEventListener("click", () => this.picked(scale));
    this.slots.push({ button, image, picture: undefined });
    this.scales.append(button);
  }
}
