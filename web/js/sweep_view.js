// @ts-check
/** γ Sweep's cells as they finish; a click takes a cell's γ to the sampler. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { samplerSource } from "./gamma_bridge.js";
import { addView, asOneStep, loadTexts } from "./node_views.js";
import { listOf, own, same, textOf } from "./outside.js";
import { addStyle, make } from "./page.js";
import { merged, ownNumber, place, readTable, settings, target, total } from "./sweep_maths.js";

/** @typedef {import("./sweep_maths.js").Table} Table */
/** @typedef {import("./sweep_maths.js").Cell} Cell */

const HEIGHT = 300;
const SET = ["gamma_t", "gamma_i", "tau", "seed"]; // what a click may change
const CHOICE = "echogen_sampler"; // the node property that keeps the chosen sampler's number
const STYLE = `
.echogen-sweep { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; width: 100%;
  height: 100%; min-height: ${HEIGHT}px; padding: 2px; font: 12px sans-serif; color: #e6e6e6; }
.echogen-sweep .bar { display: flex; gap: 8px; align-items: center; min-height: 24px; }
.echogen-sweep .told { flex: 1; }
.echogen-sweep select { min-width: 0; max-width: 60%; font: inherit; color: inherit; background: #35353b;
  border: 1px solid #5c5c66; border-radius: 4px; }
.echogen-sweep .cells { flex: 1 1 0; min-height: 0; contain: size; overflow: auto; display: flex; flex-wrap: wrap;
  gap: 2px 8px; align-content: flex-start; background: #1c1c1f; border-radius: 6px; }
.echogen-sweep .page { position: sticky; left: 0; width: fit-content; padding: 4px 6px; font-weight: bold; }
.echogen-sweep .page:empty { display: none; }
.echogen-sweep .grid { display: grid; gap: 2px; }
.echogen-sweep .label { position: sticky; z-index: 1; padding: 2px 6px; background: #2a2a2f; color: #c9c9cf;
  display: flex; align-items: center; justify-content: center; white-space: nowrap; }
.echogen-sweep .across { top: 0; }
.echogen-sweep .down { left: 0; }
.echogen-sweep .across.down { z-index: 2; }
.echogen-sweep button { padding: 0; border: 2px solid transparent; background: #2a2a2f; aspect-ratio: 1;
  min-width: 64px; cursor: pointer; overflow: hidden; }
.echogen-sweep button:disabled { cursor: default; }
.echogen-sweep button img { display: block; width: 100%; height: 100%; object-fit: contain; }
.echogen-sweep button[aria-pressed="true"] { border-color: #ffb02e; }
.echogen-sweep button:focus-visible { outline: 2px solid #7cb7ff; outline-offset: -2px; }
`;

/** What is known of sweeps, by workflow and node: undo makes nodes anew, and runs go on in other tabs.
 *  @type {Map<string, Table>} */
const tables = new Map();
/** @type {Record<string, string>} */
let texts = {};

const rootOf = (/** @type {any} */ node) => node.graph?.rootGraph ?? node.graph;
const keyOf = (/** @type {any} */ node) => keyFor(rootOf(node)?.id, node.id);
const keyFor = (/** @type {unknown} */ graph, /** @type {unknown} */ node) => `${textOf(graph)} ${textOf(node)}`;
function take(/** @type {string} */ key, /** @type {unknown} */ told) {
  const table = readTable(told);
  if (table) tables.set(key, merged(tables.get(key), table));
  else console.warn("EchoGen: what was told of a sweep is none, so it is not shown.", told);
}

class SweepView {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.run = "";
    this.offered = "";
    /** What it was drawn from. @type {unknown[]} */
    this.shown = [];
    this.note = "";
    /** @type {Map<string, HTMLButtonElement>} */
    this.buttons = new Map();
    addStyle(document, "echogen-sweep-style", STYLE);
    this.told = make(document, "span", { className: "told", role: "status" });
    this.samplers = make(document, "select", { title: texts.sampler, hidden: true });
    this.samplers.setAttribute("aria-label", texts.sampler);
    this.samplers.addEventListener("change", () => {
      asOneStep(() => (this.node.properties[CHOICE] = this.samplers.value));
    });
    this.cells = make(document, "div", { className: "cells" });
    this.cells.dataset.captureWheel = "true"; // Nodes 2.0 would zoom instead
    this.root = make(
      document,
      "div",
      { className: "echogen-sweep" },
      make(document, "div", { className: "bar" }, this.told, this.samplers),
      this.cells,
    );
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button === 0) event.stopPropagation(); // or Nodes 2.0 would drag the node
    });
  }

  /** Follows the sweep, the samplers in the graph, and what the chosen one is set to. */
  draw() {
    const table = tables.get(keyOf(this.node));
    const samplers = (this.node.graph?.nodes ?? []).filter(
      (/** @type {any} */ { comfyClass }) => comfyClass === "EchoGenSampler",
    );
    const sampler = target(samplers, this.node, own(this.node.properties, CHOICE));
    this.#offer(samplers, sampler);
    if (!table) return this.#say(texts.empty);
    if (table.run !== this.run) this.#lay(table);
    this.#say(this.note || `${table.cells.length} / ${total(table)}`);
    const state = [table.run, table.cells.length, sampler?.id, ...SET.map((name) => valueOf(sampler, name))];
    if (same(state, this.shown)) return;
    this.shown = state;
    for (const cell of table.cells) this.#show(table, cell, sampler);
  }

  /** @param {string} text */
  #say(text) {
    if (this.told.textContent !== text) this.told.textContent = text;
  }

  /** The samplers to choose from, where there is a choice. @param {any[]} samplers @param {any} sampler */
  #offer(samplers, sampler) {
    const names = samplers.map(({ id, title }) => `${textOf(title)} #${textOf(id)}`);
    const offered = [sampler?.id, ...names].join("\n");
    if (offered === this.offered) return;
    this.offered = offered;
    this.samplers.hidden = samplers.length < 2;
    this.samplers.replaceChildren(
      ...samplers.map(({ id }, index) => make(document, "option", { value: String(id) }, `→ ${names[index]}`)),
    );
    this.samplers.value = String(sampler?.id);
  }

  /** Empty cells with their labels. @param {Table} table */
  #lay(table) {
    this.run = table.run;
    this.note = "";
    this.buttons.clear();
    const label = (/** @type {string} */ where, /** @type {string} */ text) =>
      make(document, "div", { className: `label ${where}` }, text);
    this.cells.replaceChildren(
      ...table.pages.map(({ title }, page) => {
        const grid = make(document, "div", { className: "grid" }, label("across down", "γ_I \\ γ_t"));
        grid.style.gridTemplateColumns = `auto repeat(${table.columns.length}, minmax(64px, 1fr))`;
        grid.append(...table.columns.map((gamma) => label("across", String(gamma))));
        table.rows.forEach((gamma, row) => {
          grid.append(label("down", String(gamma)));
          table.columns.forEach((_, column) => {
            const button = make(document, "button", { type: "button", disabled: true });
            this.buttons.set(place({ page, row, column }), button);
            grid.append(button);
          });
        });
        const sheet = make(document, "section", {}, make(document, "div", { className: "page" }, title), grid);
        sheet.style.flex = `1 1 ${70 * table.columns.length + 60}px`; // small sheets lie side by side
        return sheet;
      }),
    );
  }

  /** @param {Table} table @param {Cell} cell @param {any} sampler */
  #show(table, cell, sampler) {
    const button = this.buttons.get(place(cell));
    if (!button) return;
    if (button.disabled) {
      const words = Object.entries(settings(table, cell)).map(([name, value]) => `${texts[name]} ${value}`);
      const source = api.apiURL(`/view?${new URLSearchParams(cell.picture)}`);
      button.disabled = false;
      button.title = words.join(", ");
      button.append(make(document, "img", { alt: button.title, decoding: "async", src: source }));
      button.addEventListener("click", () => this.#give(table, cell));
    }
    const same = Object.entries(settings(table, cell)).every(([name, value]) => valueOf(sampler, name) === value);
    button.setAttribute("aria-pressed", String(same));
  }

  /** Sets the sampler to a cell's values. @param {Table} table @param {Cell} cell */
  #give(table, cell) {
    const sampler = this.node.graph?.getNodeById(this.samplers.value);
    if (!sampler) return void (this.note = texts.no_sampler);
    const set = Object.entries(settings(table, cell)).map(([name, value]) => ({
      name,
      value,
      source: samplerSource(sampler, name),
    }));
    const linked = set.filter(({ source }) => source.linked && !source.widget).map(({ name }) => texts[name]);
    this.note = linked.length ? `${texts.linked}: ${linked.join(", ")}` : "";
    asOneStep(() => {
      for (const { value, source } of set) {
        const { widget } = source;
        if (!widget || widget.value === value) continue;
        widget.value = value;
        widget.callback?.(value);
      }
    });
    sampler.setDirtyCanvas?.(true, true);
  }
}

const valueOf = (/** @type {any} */ node, /** @type {string} */ name) => node && samplerSource(node, name).value;

app.registerExtension({
  name: "EchoGen.Sweep",
  async init() {
    texts = await loadTexts("echogen_sweep");
    api.addEventListener("echogen.cell", (/** @type {any} */ { detail }) => {
      take(keyFor(own(detail, "graph"), ownNumber(textOf(own(detail, "node")))), detail);
    });
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenGammaSweep") return;
    addView(new SweepView(node), "sweep", texts.label, HEIGHT);
    const before = node.onExecuted;
    node.onExecuted = function (/** @type {any} */ output) {
      before?.apply(this, arguments);
      for (const table of listOf(own(output, "echogen_sweep"))) take(keyOf(this), table);
    };
  },
});
