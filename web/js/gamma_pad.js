// @ts-check
/** The pad: γ_t across, γ_I up, with a dot, grid lines, the diagonal and preset buttons. */

import { branches, gammaAfterKey, gammaAt, PRESETS, toShare } from "./gamma_maths.js";
import { addStyle, make, shape } from "./dom.js";
import { filled } from "./plain_values.js";
import { overlap, sizeInRoom } from "./text_fit.js";

/** @typedef {import("./gamma_bridge.js").GammaBridge} GammaBridge */
/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/** @typedef {Record<string, string>} Texts */
/** @typedef {{x: (gamma: number) => number, y: (gamma: number) => number, size: number}} Scale  size: of text */

/** Height in pixels: the pad keeps it, so that the dot stays where it is under the hand. */
export const HEIGHT = 236;
const LINES = [0, 1, 2, 3, 4, 6, 8];
const SPARSE_LINES = [0, 2, 4, 8]; // when zoomed out, with larger text
const FONT_SIZE = 11;
const MAX_FONT_SIZE = 22;
const RIGHT = 14;
const TOP = 12;
const FINE = 0.2; // of the pointer's movement
const BURST_MS = 250; // after the last arrow key is released
const DOUBLE_CLICK_MS = 500; // a second click may follow within this, as Windows has it
const CLICK_SIDE = 4; // pixels that a pointer moves in a click

const STYLE = `
.echogen-pad { display: flex; flex-direction: column; gap: 4px; flex: none; height: ${HEIGHT}px; }
.echogen-pad svg { flex: 1; min-height: 0; width: 100%; touch-action: none; cursor: crosshair; }
.echogen-pad.locked svg { cursor: not-allowed; }
.echogen-pad line { stroke: var(--echogen-line); }
.echogen-pad .diagonal { stroke: currentColor; stroke-dasharray: 5 4; opacity: 0.6; }
.echogen-pad .free { stroke: var(--echogen-accent); stroke-width: 2; }
.echogen-pad .values { font-weight: bold; }
.echogen-pad :is(.set-by, .hint) { font-style: italic; }
.echogen-pad circle { fill: var(--echogen-accent); stroke: currentColor; stroke-width: 2; }
.echogen-pad circle.held { fill: none; stroke: var(--echogen-accent); }
.echogen-pad .row { display: flex; gap: 4px; flex: none; }
.echogen-pad button { flex: 1; padding: 3px 2px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;

/** Draws γ and handles pointer and keyboard. */
export class GammaPad {
  /**
   * @param {GammaBridge} bridge @param {Texts} texts
   * @param {() => void} [settled]  called once a change of γ made here is complete
   * @param {Document} [page]
   */
  constructor(bridge, texts, settled = () => {}, page = document) {
    this.bridge = bridge;
    this.texts = texts;
    this.settled = settled;
    this.page = page;
    this.drawn = "";
    this.fontSize = FONT_SIZE;
    /** Whether γ has changed since `settled` was last called. */
    this.unsettled = false;
    addStyle(page, "echogen-pad-style", STYLE);
    this.svg = /** @type {SVGSVGElement} */ (
      shape(page, "svg", {
        tabindex: 0,
        role: "slider",
        "aria-label": texts.pad,
        "aria-valuemin": 0,
        "aria-valuemax": 8,
      })
    );
    this.row = make(page, "div", { className: "row" }, ...this.#presets());
    this.root = make(page, "div", { className: "echogen-pad" }, this.svg, this.row);
    this.#listen();
    this.#listenToKeys();
    this.size = [0, 0];
    this.observer = new ResizeObserver(() => {
      this.size = [this.svg.clientWidth, this.svg.clientHeight];
      this.draw();
    });
    this.observer.observe(this.svg);
  }

  /** Ends the observer and the timer. */
  dispose() {
    this.observer.disconnect();
    clearTimeout(this.burst);
  }

  /** Redraws for changes of the widgets, its own size, and the zoom. */
  draw() {
    const [width, height] = this.size;
    if (!width || !height) return;
    this.fontSize = Math.round(Math.min(MAX_FONT_SIZE, Math.max(FONT_SIZE, FONT_SIZE / this.#zoom())));
    const state = `${this.bridge.state()} ${width} ${height} ${this.fontSize}`;
    if (state === this.drawn) return;
    this.drawn = state;
    const { left, bottom } = this.#edges();
    this.#describe();
    this.svg.replaceChildren(
      ...this.#shapes({
        x: (value) => left + toShare(value) * (width - left - RIGHT),
        y: (value) => height - bottom - toShare(value) * (height - bottom - TOP),
        size: this.fontSize,
      }),
    );
    this.#fit(width - left - RIGHT - 4);
  }

  /** Shrinks texts that are too wide, and removes the diagonal's name where another text is. @param {number} room */
  #fit(room) {
    const texts = /** @type {SVGTextElement[]} */ ([...this.svg.querySelectorAll("text")]);
    for (const text of texts.filter((each) => each.matches(".values, .set-by, .hint"))) {
      if (text.matches(".values") && text.getComputedTextLength() > room) text.textContent = this.#values();
      const size = sizeInRoom(this.fontSize, text.getComputedTextLength(), room);
      text.setAttribute("font-size", String(size));
      const words = text.textContent ?? "";
      if (text.getComputedTextLength() > room + 1) text.append(shape(this.page, "title", {}, words));
    }
    const name = texts.find((text) => text.matches(".cheap"));
    const others = texts.filter((text) => text !== name && text.textContent);
    if (name && others.some((text) => overlap(text.getBBox(), name.getBBox()))) name.remove();
  }

  /** The zoom: that of the canvas, 1 in app mode. */
  #zoom() {
    return this.svg.getBoundingClientRect().width / this.svg.clientWidth || 1;
  }

  #edges() {
    return { left: this.fontSize + 15, bottom: this.fontSize + 9 };
  }

  /** Sets the ARIA attributes, and enables or disables the controls. */
  #describe() {
    const [gamma, locked] = [this.bridge.read(), this.bridge.locked()];
    const both = locked.t && locked.i;
    this.root.classList.toggle("locked", both);
    if (Number.isNaN(gamma.t)) this.svg.removeAttribute("aria-valuenow");
    else this.svg.setAttribute("aria-valuenow", String(gamma.t));
    this.svg.setAttribute("aria-valuetext", [this.#label(), this.#setBy(), ...this.#hints()].filter(Boolean).join(", "));
    this.svg.setAttribute("aria-disabled", String(both));
    for (const button of this.row.querySelectorAll("button")) {
      const preset = this.bridge.presets()[button.value];
      button.disabled = both;
      button.title = `${button.textContent}: γ_t ${preset.t}, γ_I ${preset.i}`;
      button.ariaPressed = String(preset.t === gamma.t && preset.i === gamma.i);
    }
  }

  /** The values as text, with what they cost. */
  #label() {
    return this.#isFast() ? `${this.#values()} ${this.#cheap()}` : this.#values();
  }

  #cheap() {
    return this.texts[this.bridge.cheapness()];
  }

  #values() {
    const [gamma, locked] = [this.bridge.read(), this.bridge.locked()];
    const [both, known] = [locked.t && locked.i, !Number.isNaN(gamma.t + gamma.i)];
    if (both && !known) return this.texts.locked;
    const value = (/** @type {"t" | "i"} */ axis) => {
      const unknown = locked[axis] ? "" : "?";
      const number = Number.isNaN(gamma[axis]) ? unknown : gamma[axis];
      const words = [number, locked[axis] && !both ? this.texts.connected : ""];
      return words.filter((word) => word !== "").join(" ");
    };
    const values = `γ_t ${value("t")}, γ_I ${value("i")}`;
    return both ? `${values} · ${this.texts.locked}` : values;
  }

  /** Whether the values are known, and one of the three branches has no weight; the label then says so. */
  #isFast() {
    const [gamma, locked] = [this.bridge.read(), this.bridge.locked()];
    return !(locked.t && locked.i) && !Number.isNaN(gamma.t + gamma.i) && branches(gamma) < 3;
  }

  /** Names of the other nodes that set γ. */
  #setBy() {
    const titles = this.bridge.providers().map((title) => `“${title}”`);
    return titles.length ? filled(this.texts.set_by, "node", titles.join(", ")) : "";
  }

  /** What is without effect, as it isn't connected. */
  #hints() {
    return this.bridge.hints().map((key) => this.texts[key]);
  }

  /** @param {Scale} scale */
  #shapes({ x, y, size }) {
    const draw = (/** @type {string} */ kind, /** @type {any} */ at, text = "") =>
      shape(this.page, kind, kind === "text" ? { "font-size": size, ...at } : at, text);
    const numbered = size > 14 ? SPARSE_LINES : LINES;
    const [bottom, left] = [y(0) + size + 3, x(0) - 6];
    const diagonal = this.#isFast() ? "" : this.#cheap();
    const notes = [["set-by", this.#setBy()], ...this.#hints().map((hint) => ["hint", hint])].filter(([, text]) => text);
    return [
      ...LINES.flatMap((value) => [
        draw("line", { x1: x(value), x2: x(value), y1: y(0), y2: y(8) }),
        draw("line", { x1: x(0), x2: x(8), y1: y(value), y2: y(value) }),
      ]),
      ...numbered.flatMap((value) => [
        draw("text", { x: x(value), y: bottom, "text-anchor": "middle" }, String(value)),
        draw("text", { x: left, y: y(value) + size / 3, "text-anchor": "end" }, String(value)),
      ]),
      draw("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(8), y2: y(8) }),
      draw("text", { class: "cheap", x: x(6) - 4, y: y(6) - 4, "text-anchor": "end" }, diagonal),
      draw("text", { x: x(8) - 2, y: y(0) - 5, "text-anchor": "end" }, `γ_t ${this.texts.prompt} →`),
      draw("text", { x: x(0) + 4, y: y(8) + size }, `↑ γ_I ${this.texts.subject}`),
      draw("text", { class: "values", x: x(0) + 4, y: y(8) + 2.3 * size }, this.#label()),
      ...notes.map(([kind, text], line) =>
        draw("text", { class: kind, x: x(0) + 4, y: y(8) + (3.6 + 1.3 * line) * size }, text),
      ),
      ...this.#dot(x, y).map(([kind, at]) => draw(kind, at)),
    ];
  }

  /**
   * A dot; with a line along which it can be moved where one γ is locked. An unknown γ has a line instead of a dot,
   * two unknown ones have neither.
   * @param {Scale["x"]} x @param {Scale["y"]} y @returns {[string, Record<string, string | number>][]}
   */
  #dot(x, y) {
    const [{ t, i }, locked] = [this.bridge.read(), this.bridge.locked()];
    const across = { class: "free", x1: x(0), x2: x(8), y1: y(i), y2: y(i) };
    const up = { class: "free", x1: x(t), x2: x(t), y1: y(0), y2: y(8) };
    if (Number.isNaN(t) && Number.isNaN(i)) return [];
    if (Number.isNaN(t)) return [["line", across]];
    if (Number.isNaN(i)) return [["line", up]];
    const kind = locked.t && locked.i ? "held" : "";
    /** @type {[string, Record<string, string | number>]} */
    const dot = ["circle", { class: kind, cx: x(t), cy: y(i), r: Math.max(7, this.fontSize / 2) }];
    return locked.t === locked.i ? [dot] : [["line", locked.t ? up : across], dot];
  }

  /** Moves the dot. @param {Gamma} gamma */
  #set(gamma) {
    clearTimeout(this.burst);
    const before = this.bridge.state();
    this.bridge.write(gamma);
    this.draw();
    if (this.bridge.state() !== before) this.unsettled = true;
  }

  /** Completes a change, if there is one. */
  #settle() {
    clearTimeout(this.burst);
    if (!this.unsettled) return;
    this.unsettled = false;
    this.settled();
  }

  /** Completes a change unless another follows soon. @param {number} milliseconds */
  #settleSoon(milliseconds) {
    clearTimeout(this.burst);
    this.burst = setTimeout(() => this.#settle(), milliseconds);
  }

  #presets() {
    return Object.keys(PRESETS).map((name) => {
      const button = make(this.page, "button", { type: "button", value: name, textContent: this.texts[name] });
      button.addEventListener("click", () => {
        this.#set(this.bridge.presets()[name]);
        this.#settle();
      });
      return button;
    });
  }

  /** Position of a pointer on the pad, as shares of its sides. @param {PointerEvent} event */
  #place(event) {
    const box = this.svg.getBoundingClientRect();
    const zoom = this.#zoom();
    const { left, bottom } = this.#edges();
    return {
      across: (event.clientX - box.left - left * zoom) / (box.width - (left + RIGHT) * zoom),
      up: (box.bottom - bottom * zoom - event.clientY) / (box.height - (bottom + TOP) * zoom),
    };
  }

  #listen() {
    /** The drag in progress: origin of fine steps, and of the drag in pixels; null without one.
     *  @type {{across: number, up: number, left: number, top: number, click: boolean} | null} */
    let drag = null;
    const move = (/** @type {PointerEvent} */ event) => {
      if (!drag || !event.isPrimary) return;
      if (Math.hypot(event.clientX - drag.left, event.clientY - drag.top) > CLICK_SIDE) drag.click = false;
      const now = this.#place(event);
      if (!event.shiftKey) {
        Object.assign(drag, now);
        return this.#set(gammaAt(now.across, now.up, false));
      }
      const across = drag.across + FINE * (now.across - drag.across);
      const up = drag.up + FINE * (now.up - drag.up);
      this.#set(gammaAt(across, up, true));
    };
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      this.svg.focus();
      this.svg.setPointerCapture(event.pointerId);
      clearTimeout(this.burst);
      drag = { ...this.#place(event), left: event.clientX, top: event.clientY, click: true };
      if (!event.shiftKey) move(event);
    });
    this.svg.addEventListener("pointermove", move);
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      this.svg.addEventListener(end, (event) => {
        if (!drag || !event.isPrimary) return;
        if (drag.click) this.#settleSoon(DOUBLE_CLICK_MS);
        else this.#settle();
        drag = null;
      });
    }
    this.svg.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      this.#set(this.bridge.modelDefault());
      this.#settle();
    });
  }

  /** Arrow keys move the dot; the change is complete a moment after they are released. */
  #listenToKeys() {
    this.svg.addEventListener("keydown", (event) => {
      const gamma = gammaAfterKey(this.bridge.read(), event.key, event.shiftKey);
      if (!gamma) return;
      event.preventDefault();
      event.stopPropagation();
      this.#set(gamma);
    });
    this.svg.addEventListener("keyup", ({ key }) => {
      if (key.startsWith("Arrow")) this.#settleSoon(BURST_MS); // Shift may be released in a drag
    });
    this.svg.addEventListener("blur", () => this.#settle());
  }
}
