// @ts-check
/** Guidance Schedule's two curves, with a legend, handles to drag, presets and the branches that each scale needs. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { snap, toGamma, toShare } from "./gamma_maths.js";
import { addView, asOneStep, loadTexts } from "./node_views.js";
import { filled, sameItems } from "./plain_values.js";
import { addStyle, make, shape } from "./dom.js";
import { PACK } from "./pack.js";
import { cost, curve, formatPoints, needed, parsePoints, readSettings, SHAPES, weights } from "./schedule_maths.js";
import { sourceOf } from "./value_source.js";
import { sidesUnder } from "./wired_model.js";

/** @typedef {import("./schedule_maths.js").Axis} Axis */
/** @typedef {import("./schedule_maths.js").Settings} Settings */

const HEIGHT = 270;
const [LEFT, RIGHT, TOP, BOTTOM] = [26, 12, 10, 46];
const LINES = [0, 1, 2, 3, 4, 6, 8];
const GRAB_RADIUS = 24; // pixels from a handle
/** @type {Axis[]} */
const AXES = ["t", "i"];
const NAMES = /** @type {const} */ (["shape", "gamma_t", "gamma_i", "end", "points_t", "points_i"]);
const STYLE = `
.echogen-schedule { display: flex; flex-direction: column; gap: 4px; height: 100%; min-height: ${HEIGHT}px;
  contain: inline-size; }
.echogen-schedule svg { flex: 1; min-height: 0; width: 100%; touch-action: none; cursor: ns-resize; }
.echogen-schedule.locked svg { cursor: not-allowed; }
.echogen-schedule line { stroke: var(--echogen-line); }
.echogen-schedule line.one { stroke: currentColor; stroke-dasharray: 5 4; opacity: 0.6; }
.echogen-schedule line.here { stroke: currentColor; }
.echogen-schedule text { font-size: 11px; }
.echogen-schedule polyline { fill: none; stroke-width: 2; }
.echogen-schedule .t { stroke: currentColor; fill: var(--echogen-accent); }
.echogen-schedule .i { stroke: currentColor; fill: var(--echogen-second); }
.echogen-schedule polyline.t { stroke: var(--echogen-accent); stroke-width: 5; fill: none; }
.echogen-schedule polyline.i { stroke: var(--echogen-second); stroke-dasharray: 7 4; fill: none; }
.echogen-schedule polyline.edge { stroke: currentColor; }
.echogen-schedule polyline.edge.t { stroke-width: 7; }
.echogen-schedule polyline.edge.i { stroke-width: 4; }
.echogen-schedule text.t, .echogen-schedule text.i { stroke: none; fill: currentColor; }
.echogen-schedule .active { stroke-width: 3; }
.echogen-schedule .need { fill: currentColor; }
.echogen-schedule .spare { fill: var(--echogen-line); }
.echogen-schedule .row { display: flex; flex-wrap: wrap; gap: 4px; }
.echogen-schedule .legend { display: flex; gap: 4px 12px; flex-wrap: wrap; align-items: center; }
.echogen-schedule .legend svg { flex: none; width: 24px; height: 12px; margin-right: 4px;
  vertical-align: middle; pointer-events: none; }
.echogen-schedule button { flex: 1 0 auto; padding: 3px 4px; }
.echogen-schedule .status { min-height: 15px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
`;

/** @type {Record<string, string>} */
let texts = {};

class ScheduleCurves {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    /** The state that was last drawn. @type {unknown[]} */
    this.drawn = [];
    /** The handle that keys move and whose values are shown. @type {{axis: Axis, index: number} | null} */
    this.active = null;
    addStyle(document, "echogen-schedule-style", STYLE);
    this.svg = /** @type {SVGSVGElement} */ (shape(document, "svg", { tabindex: 0, role: "slider" }));
    this.svg.setAttribute("aria-label", texts.curves);
    this.svg.setAttribute("aria-valuemin", "0");
    this.svg.setAttribute("aria-valuemax", "8");
    this.status = make(document, "div", { className: "status" });
    this.scales = make(document, "span");
    /** Sides of the grids of the connected samplers' scales. @type {readonly number[]} */
    this.sides = [];
    this.row = make(document, "div", { className: "row" });
    for (const name of SHAPES) {
      const label = texts[name.replace(" ", "_")];
      const button = make(document, "button", { type: "button", textContent: label, title: label, value: name });
      button.addEventListener("click", () => asOneStep(() => this.#set({ shape: name })));
      this.row.append(button);
    }
    this.root = make(document, "div", { className: "echogen-schedule" }, this.#legend(), this.svg, this.status, this.row);
    this.#listen();
  }

  /** What the lines and the squares mean, and how many scales there are. */
  #legend() {
    const entry = (/** @type {SVGElement[]} */ marks, /** @type {string} */ text) => {
      const picture = shape(document, "svg", { viewBox: "0 0 24 12", "aria-hidden": "true" });
      picture.append(...marks);
      return make(document, "span", {}, picture, text);
    };
    const need = shape(document, "rect", { x: 8, y: 2, width: 8, height: 8, class: "need" });
    const entries = [
      entry([...this.#line("t", "0,6 24,6"), this.#mark("t", 12, 6)], `γ_t ${texts.prompt}`),
      entry([...this.#line("i", "0,6 24,6"), this.#mark("i", 12, 6)], `γ_I ${texts.subject}`),
      entry([need], texts.computed),
    ];
    return make(document, "div", { className: "legend" }, ...entries, this.scales);
  }

  /** A line with an edge. @param {Axis} axis @param {string} points */
  #line(axis, points) {
    return [`${axis} edge`, axis].map((look) => shape(document, "polyline", { points, class: look }));
  }

  /** A handle: a disc of γ_t, in which a square of γ_I may lie.
   *  @param {Axis} axis @param {number} x @param {number} y @param {Record<string, string | number>} [look] */
  #mark(axis, x, y, look = { class: axis }) {
    return axis === "t"
      ? shape(document, "circle", { cx: x, cy: y, r: 6, ...look })
      : shape(document, "rect", { x: x - 3, y: y - 3, width: 6, height: 6, ...look });
  }

  /** Redraws for changes of the node's widgets and of the connected samplers. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.svg;
    const settings = this.#settings();
    this.sides = sidesUnder(this.node);
    const locked = this.#locked();
    const { axis, index } = this.active ?? {};
    const state = [...NAMES.map((name) => settings?.[name]), locked, width, height, axis, index, ...this.sides];
    if (sameItems(state, this.drawn) || !width || !height) return;
    this.drawn = state;
    this.scales.textContent = filled(texts.scales, "count", String(this.sides.length));
    this.root.classList.toggle("locked", locked);
    this.svg.setAttribute("aria-disabled", String(locked));
    for (const button of this.row.querySelectorAll("button")) {
      button.disabled = locked;
      button.setAttribute("aria-pressed", String(button.value === settings?.shape));
    }
    const [t, i] = settings ? AXES.map((axis) => curve(settings, axis, this.sides.length)) : [];
    if (axis && this.#handles(axis)[index ?? 0] === undefined) this.active = null; // the curve has fewer points now
    if (!t || !i) {
      this.svg.replaceChildren();
      this.status.textContent = locked ? texts.locked : texts.unreadable;
      return;
    }
    this.svg.replaceChildren(...this.#frame(), ...this.#branches(t, i), ...AXES.flatMap((axis) => this.#curve(axis)));
    this.status.textContent = locked ? `${this.#statusText(t, i)} · ${texts.locked}` : this.#statusText(t, i);
    this.status.title = this.status.textContent;
    this.svg.setAttribute("aria-valuetext", this.status.textContent);
    const now = this.active ? this.#handles(this.active.axis)[this.active.index] : t[0];
    this.svg.setAttribute("aria-valuenow", String(now));
  }

  /** The effective settings; null where only a run can tell, and for values of the wrong type. */
  #settings() {
    return readSettings((name) => sourceOf(this.node, name).value);
  }

  /** Whether a connected input sets a value, so that it can't be changed here. */
  #locked() {
    return NAMES.some((name) => !sourceOf(this.node, name).widget);
  }

  /**
   * Values that can be dragged: the points of a drawn curve, or a preset's value at each scale.
   * @param {Axis} axis @returns {number[]}
   */
  #handles(axis) {
    const settings = this.#settings();
    if (!settings) return [];
    const points = settings.shape === "drawn" ? parsePoints(settings[`points_${axis}`]) : curve(settings, axis, this.sides.length);
    return points ?? [];
  }

  /** @param {number} index @param {number} count */
  #x(index, count) {
    return LEFT + (count > 1 ? index / (count - 1) : 0) * (this.svg.clientWidth - LEFT - RIGHT);
  }

  /** @param {number} gamma */
  #y(gamma) {
    const height = this.svg.clientHeight;
    return height - BOTTOM - toShare(gamma) * (height - TOP - BOTTOM);
  }

  #frame() {
    const width = this.svg.clientWidth;
    return LINES.flatMap((gamma) => [
      shape(document, "line", {
        x1: LEFT,
        x2: width - RIGHT,
        y1: this.#y(gamma),
        y2: this.#y(gamma),
        class: gamma === 1 ? "one" : "",
      }),
      shape(document, "text", { x: LEFT - 6, y: this.#y(gamma) + 4, "text-anchor": "end" }, String(gamma)),
    ]);
  }

  /** @param {Axis} axis */
  #curve(axis) {
    const values = this.#handles(axis);
    const count = values.length;
    const line = count > 1 ? values : [values[0], values[0]];
    const points = line.map((gamma, index) => `${this.#x(index, line.length)},${this.#y(gamma)}`).join(" ");
    const marks = values.map((gamma, index) => {
      const [x, y] = [this.#x(index, count), this.#y(gamma)];
      const active = this.active?.axis === axis && this.active.index === index;
      const look = { class: `${axis} ${active ? "active" : ""}`, "data-axis": axis, "data-index": index };
      return this.#mark(axis, x, y, look);
    });
    return [...this.#line(axis, points), ...marks];
  }

  /** Three squares for every scale: green ones are computed. @param {number[]} t @param {number[]} i */
  #branches(t, i) {
    const bottom = this.svg.clientHeight;
    const scales = this.sides.length;
    const column = (this.svg.clientWidth - LEFT - RIGHT) / (scales - 1);
    const side = Math.min(9, column - 2);
    return needed(t, i).flatMap((branches, scale) => [
      ...branches.map((need, branch) =>
        shape(document, "rect", {
          x: this.#x(scale, scales) - side / 2,
          y: bottom - 38 + branch * 8,
          width: side,
          height: 7,
          class: need ? "need" : "spare",
        }),
      ),
      shape(document, "text", { x: this.#x(scale, scales), y: bottom - 3, "text-anchor": "middle" },
        String(branches.filter(Boolean).length)),
    ]);
  }

  /** The values at the active handle; without one, the cost of the schedule. @param {number[]} t @param {number[]} i */
  #statusText(t, i) {
    const used = needed(t, i);
    if (!this.active) {
      return `${filled(texts.cost, "percent", String(cost(used, this.sides)))} · ${texts.hint}`;
    }
    const count = this.#handles(this.active.axis).length;
    const scales = this.sides.length;
    const scale = count > 1 ? Math.round((this.active.index / (count - 1)) * (scales - 1)) : 0;
    const short = (/** @type {number} */ number) => Number(number.toFixed(2));
    const names = [texts.both, texts.text_only, texts.neither];
    const parts = weights(t[scale], i[scale])
      .map((weight, branch) => (used[scale][branch] ? `${names[branch]} ${short(weight)}` : ""))
      .filter(Boolean);
    return `${scale + 1}/${scales}  γ_t ${short(t[scale])}  γ_I ${short(i[scale])}  (${parts.join(", ")})`;
  }

  /** @param {Partial<Settings>} changes */
  #set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      const { widget } = sourceOf(this.node, name);
      if (!widget || widget.value === value) continue;
      widget.value = value;
      widget.callback?.(value);
    }
    this.node.setDirtyCanvas?.(true, true);
    this.draw();
  }

  /** Moves the active handle; a preset becomes a drawn curve. @param {number} gamma @param {boolean} both */
  #move(gamma, both) {
    if (!this.active || this.#locked()) return;
    const points = { t: this.#handles("t"), i: this.#handles("i") };
    const { axis, index } = this.active;
    for (const each of both ? AXES : [axis]) {
      if (points[each].length === points[axis].length) points[each][index] = gamma;
    }
    this.#set({ shape: "drawn", points_t: formatPoints(points.t), points_i: formatPoints(points.i) });
  }

  /** The handle under the pointer. @param {PointerEvent} event */
  #handleNear(event) {
    const [x, y] = this.#pointerPosition(event);
    const found = AXES.flatMap((axis) =>
      this.#handles(axis).map((gamma, index, all) => ({
        axis,
        index,
        far: Math.hypot(this.#x(index, all.length) - x, this.#y(gamma) - y),
      })),
    ).sort((a, b) => a.far - b.far)[0];
    return found && found.far < GRAB_RADIUS ? { axis: found.axis, index: found.index } : null;
  }

  /** @param {PointerEvent} event */
  #pointerPosition(event) {
    const box = this.svg.getBoundingClientRect();
    const zoom = box.width / (this.svg.clientWidth || box.width); // the canvas may be zoomed
    return [(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom];
  }

  #listen() {
    let dragging = false;
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.svg.focus();
      this.active = this.#handleNear(event);
      dragging = !!this.active;
      if (dragging) this.svg.setPointerCapture(event.pointerId);
      this.draw();
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!dragging) {
        this.active = this.#handleNear(event);
        return this.draw();
      }
      const height = this.svg.clientHeight;
      const share = (height - BOTTOM - this.#pointerPosition(event)[1]) / (height - TOP - BOTTOM);
      this.#move(snap(toGamma(share), 0.1), event.shiftKey);
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      this.svg.addEventListener(end, () => (dragging = false));
    }
    this.svg.addEventListener("pointerleave", () => {
      if (!dragging) this.active = null;
      this.draw();
    });
    this.svg.addEventListener("keydown", (event) => {
      const { axis, index } = this.active ?? { axis: /** @type {Axis} */ ("t"), index: 0 };
      const values = this.#handles(axis);
      const steps = /** @type {Record<string, number>} */ ({ ArrowUp: 1, ArrowDown: -1 });
      const ways = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1 });
      if (event.key in ways) {
        this.active = { axis, index: Math.max(0, Math.min(values.length - 1, index + ways[event.key])) };
      } else if (event.key === "Enter") {
        const other = axis === "t" ? "i" : "t";
        this.active = { axis: other, index: Math.max(0, Math.min(index, this.#handles(other).length - 1)) };
      } else if (event.key in steps) {
        if (!values.length) return; // nothing to move
        this.active = { axis, index };
        this.#move(snap(values[index] + 0.1 * steps[event.key]), event.shiftKey);
      } else return;
      event.preventDefault();
      event.stopPropagation();
      this.draw();
    });
  }
}

app.registerExtension({
  name: `${PACK}.Schedule`,
  async init() {
    texts = await loadTexts("echogen_schedule");
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenGuidanceSchedule") return;
    addView(new ScheduleCurves(node), "schedule", texts.label, HEIGHT);
  },
});
