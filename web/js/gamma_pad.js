// @ts-check
/** The pad as seen and touched: γ_t across, γ_I up, a dot, a grid, the diagonal, presets. */

import { branches, DEFAULT, gammaAfterKey, gammaAt, PRESETS, toShare } from "./gamma_maths.js";

/** @typedef {import("./gamma_bridge.js").GammaBridge} GammaBridge */
/** @typedef {Record<string, string>} Texts */

export const HEIGHT = 236;
const SVG = "http://www.w3.org/2000/svg";
const LINES = [0, 1, 2, 3, 4, 6, 8];
const FINE = 0.2; // of the pointer's way

const STYLE = `
.echogen-pad { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; width: 100%;
  height: 100%; min-height: ${HEIGHT}px; padding: 2px; font: 12px sans-serif; color: #e6e6e6; }
.echogen-pad svg { flex: 1; min-height: 0; width: 100%; background: #1c1c1f; border-radius: 6px;
  touch-action: none; cursor: crosshair; outline: none; }
.echogen-pad svg:focus-visible { box-shadow: 0 0 0 2px #7cb7ff; }
.echogen-pad.locked svg { cursor: not-allowed; }
.echogen-pad line { stroke: #48484f; }
.echogen-pad .diagonal { stroke: #63c28d; stroke-dasharray: 5 4; }
.echogen-pad text { fill: #c9c9cf; font-size: 11px; user-select: none; }
.echogen-pad .fast { fill: #8fe0b3; }
.echogen-pad circle { fill: #ffb02e; stroke: #fff; stroke-width: 2; }
.echogen-pad.locked circle { fill: #8d8d94; }
.echogen-pad .row { display: flex; gap: 4px; }
.echogen-pad button { flex: 1; min-width: 0; padding: 3px 2px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; font: inherit; color: #e6e6e6; background: #35353b; border: 1px solid #5c5c66;
  border-radius: 4px; cursor: pointer; }
.echogen-pad button:disabled { color: #a0a0a8; cursor: not-allowed; }
.echogen-pad button:focus-visible { outline: 2px solid #7cb7ff; }
`;

/**
 * @param {Document} page @param {string} kind
 * @param {Record<string, string | number>} [attributes] @param {string} [text]
 */
function shape(page, kind, attributes = {}, text = "") {
  const element = page.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.textContent = text;
  return element;
}

export class GammaPad {
  /** @param {GammaBridge} bridge @param {Texts} texts @param {Document} [page] */
  constructor(bridge, texts, page = document) {
    this.bridge = bridge;
    this.texts = texts;
    this.page = page;
    this.drawn = "";
    if (!page.getElementById("echogen-pad-style")) {
      const style = page.createElement("style");
      style.id = "echogen-pad-style";
      style.textContent = STYLE;
      page.head.append(style);
    }
    this.root = page.createElement("div");
    this.root.className = "echogen-pad";
    this.svg = /** @type {SVGSVGElement} */ (shape(page, "svg", { tabindex: 0, role: "slider" }));
    this.svg.setAttribute("aria-label", texts.pad);
    this.svg.setAttribute("aria-valuemin", "0");
    this.svg.setAttribute("aria-valuemax", "8");
    this.row = page.createElement("div");
    this.row.className = "row";
    for (const [name, gamma] of Object.entries(PRESETS)) {
      const button = page.createElement("button");
      button.type = "button";
      button.textContent = button.title = texts[name];
      button.addEventListener("click", () => this.#set(gamma));
      this.row.append(button);
    }
    this.root.append(this.svg, this.row);
    this.#listen();
    this.observer = new ResizeObserver(() => this.draw(true));
    this.observer.observe(this.svg);
  }

  /** Ends what outlives the element. */
  dispose() {
    this.observer.disconnect();
    this.root.remove();
  }

  /** Follows the widgets. @param {boolean} [always] */
  draw(always = false) {
    const state = this.bridge.state();
    if (state === this.drawn && !always) return;
    this.drawn = state;
    const { clientWidth: width, clientHeight: height } = this.svg;
    if (!width || !height) return;
    const [gamma, locked] = [this.bridge.read(), this.bridge.locked()];
    const x = (/** @type {number} */ value) => 26 + toShare(value) * (width - 40);
    const y = (/** @type {number} */ value) => height - 20 - toShare(value) * (height - 32);
    const cost = branches(gamma);
    const fast = cost < 3 && !(locked.t || locked.i) ? this.texts.fast : "";
    this.root.classList.toggle("locked", locked.t && locked.i);
    this.svg.setAttribute("aria-valuenow", String(gamma.t));
    this.svg.setAttribute("aria-valuetext", `γ_t ${gamma.t}, γ_I ${gamma.i} ${fast}`.trim());
    this.svg.setAttribute("aria-disabled", String(locked.t && locked.i));
    for (const button of this.row.querySelectorAll("button")) button.disabled = locked.t && locked.i;
    const draw = (/** @type {string} */ kind, /** @type {any} */ at, text = "") => shape(this.page, kind, at, text);
    const label = locked.t || locked.i ? this.texts.locked : `γ_t ${gamma.t}  γ_I ${gamma.i}  ${fast}`;
    this.svg.replaceChildren(
      ...LINES.flatMap((value) => [
        draw("line", { x1: x(value), x2: x(value), y1: y(0), y2: y(8) }),
        draw("line", { x1: x(0), x2: x(8), y1: y(value), y2: y(value) }),
        draw("text", { x: x(value), y: height - 6, "text-anchor": "middle" }, String(value)),
        draw("text", { x: 20, y: y(value) + 4, "text-anchor": "end" }, String(value)),
      ]),
      draw("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(8), y2: y(8) }),
      draw("text", { class: "fast", x: x(6) - 4, y: y(6) - 4, "text-anchor": "end" }, this.texts.fast),
      draw("text", { x: x(8) - 2, y: y(0) - 5, "text-anchor": "end" }, `γ_t ${this.texts.prompt} →`),
      draw("text", { x: x(0) + 4, y: y(8) + 11 }, `↑ γ_I ${this.texts.subject}    ${label}`),
      draw("circle", { cx: x(gamma.t), cy: y(gamma.i), r: 7 }),
    );
  }

  /** @param {import("./gamma_maths.js").Gamma} gamma */
  #set(gamma) {
    this.bridge.write(gamma);
    this.draw();
  }

  #listen() {
    /** Where fine steps are counted from; null while nothing is dragged.
     *  @type {{across: number, up: number} | null} */
    let start = null;
    const place = (/** @type {PointerEvent} */ event) => {
      const box = this.svg.getBoundingClientRect();
      const zoom = box.width / (this.svg.clientWidth || box.width); // the canvas may be zoomed
      return {
        across: (event.clientX - box.left - 26 * zoom) / (box.width - 40 * zoom),
        up: (box.bottom - 20 * zoom - event.clientY) / (box.height - 32 * zoom),
      };
    };
    const move = (/** @type {PointerEvent} */ event) => {
      if (!start) return;
      const now = place(event);
      if (!event.shiftKey) {
        Object.assign(start, now);
        return this.#set(gammaAt(now.across, now.up, false));
      }
      const across = start.across + FINE * (now.across - start.across);
      const up = start.up + FINE * (now.up - start.up);
      this.#set(gammaAt(across, up, true));
    };
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.stopPropagation(); // or Nodes 2.0 would drag the node
      this.svg.focus();
      this.svg.setPointerCapture(event.pointerId);
      start = place(event);
      if (!event.shiftKey) move(event);
    });
    this.svg.addEventListener("pointermove", move);
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      this.svg.addEventListener(end, () => (start = null));
    }
    this.svg.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      this.#set(DEFAULT);
    });
    this.svg.addEventListener("keydown", (event) => {
      const gamma = gammaAfterKey(this.bridge.read(), event.key, event.shiftKey);
      if (!gamma) return;
      event.preventDefault();
      event.stopPropagation();
      this.#set(gamma);
    });
  }
}
