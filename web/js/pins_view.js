// @ts-check
/** The pinned results, beside the picture. */

import { make } from "./dom.js";
import { details, caption, SEPARATOR } from "./pins.js";

/** @typedef {import("./pins.js").Pin} Pin */
/** @typedef {(pin: Pin) => void} Action */

export const STYLE = `
.echogen-panel .pins { display: flex; flex-direction: column; gap: 4px; flex: none; width: 40%; max-width: 132px;
  overflow-y: auto; }
.echogen-panel .pinned { display: flex; flex-wrap: wrap; gap: 2px; flex: none; font-size: 11px; }
.echogen-panel .pinned .choose { display: flex; align-items: center; gap: 4px; width: 100%; padding: 2px;
  text-align: left; }
.echogen-panel .pinned img { width: 48px; height: 48px; flex: none; object-fit: contain; }
.echogen-panel .pinned .choose > span { min-width: 0; }
.echogen-panel .pinned .word { display: inline-block; max-width: 100%; overflow-wrap: anywhere; }
.echogen-panel .pinned .use { flex: 1; padding: 1px 2px; }
.echogen-panel .pinned .remove { padding: 1px 6px; }
`;

/** Draws a picture and caption per pin, with buttons that use its settings and remove it. */
export class PinsView {
  /**
   * @param {Record<string, string>} texts
   * @param {{choose: Action, use: Action, remove: Action}} actions
   * @param {Document} page
   */
  constructor(texts, actions, page) {
    this.texts = texts;
    this.actions = actions;
    this.page = page;
    this.drawn = "";
    this.root = make(page, "div", { className: "pins", hidden: true });
    this.root.dataset.captureWheel = "true"; // Nodes 2.0 would zoom instead
  }

  /** @param {Pin[]} pins @param {string[]} pair  those that are compared */
  draw(pins, pair) {
    const state = `${pins.map(({ id }) => id)} | ${pair}`;
    if (state === this.drawn) return;
    this.drawn = state;
    this.root.hidden = pins.length === 0;
    this.root.replaceChildren(...pins.map((pin) => this.#pin(pin, pair.includes(pin.id))));
  }

  /** @param {Pin} pin @param {boolean} pressed */
  #pin(pin, pressed) {
    const { page, texts, actions } = this;
    const name = caption(pin);
    const button = (/** @type {keyof PinsView["actions"]} */ action, /** @type {string} */ title) => {
      const made = make(page, "button", { type: "button", className: action, title });
      made.addEventListener("click", () => actions[action](pin));
      return made;
    };
    const choose = button("choose", `${details(pin)}\n\n${texts.pinned_help}`);
    choose.ariaPressed = String(pressed);
    choose.append(make(page, "img", { src: pin.thumb, alt: "", draggable: false }), this.#label(name));
    const use = button("use", texts.use_help);
    use.append(texts.use);
    const remove = button("remove", `${texts.unpin}: ${name}`);
    remove.ariaLabel = remove.title;
    remove.append("×");
    return make(page, "div", { className: "pinned" }, choose, use, remove);
  }

  /** A caption that breaks between its values, and within those that are wider than the pin. @param {string} name */
  #label(name) {
    const words = name.split(SEPARATOR).map((word) => make(this.page, "span", { className: "word" }, word));
    return make(this.page, "span", {}, ...words.flatMap((word, at) => (at ? [SEPARATOR, word] : [word])));
  }
}
