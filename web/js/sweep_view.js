// @ts-check
/** Shows γ Sweep's cells as they finish; a click sets the sampler to a cell's γ. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { showAutoValues } from "./auto_values.js";
import { samplerSource } from "./gamma_bridge.js";
import { addView, asOneStep, loadTexts } from "./node_views.js";
import { listOf, ownProperty, sameItems, textOf } from "./plain_values.js";
import { addStyle, make } from "./dom.js";
import { PACK } from "./pack.js";
import { applySettings } from "./sampler_settings.js";
import { merged, ownNumber, place, readTable, settings, target, total } from "./sweep_maths.js";

/** @typedef {import("./sweep_maths.js").Table} Table */
/** @typedef {import("./sweep_maths.js").Cell} Cell */

const HEIGHT = 300;
const SETTINGS = ["gamma_t", "gamma_i", "tau", "seed"]; // what a click may change
const CHOSEN_SAMPLER = "echogen_sampler"; // node property with the chosen sampler's id, saved in workflows
const STYLE = `
.echogen-sweep { display: flex; flex-direction: column; gap: 4px; height: 100%; min-height: ${HEIGHT}px; }
.echogen-sweep .bar { display: flex; gap: 8px; align-items: center; min-height: 24px; }
.echogen-sweep .status { flex: 1; }
.echogen-sweep select { max-width: 60%; }
.echogen-sweep .cells { flex: 1 1 0; min-height: 0; contain: size; overflow: auto; display: flex; flex-wrap: wrap;
  gap: 2px 8px; align-content: flex-start; }
.echogen-sweep .page { position: sticky; left: 0; width: fit-content; padding: 4px 6px; font-weight: bold; }
.echogen-sweep .page:empty { display: none; }
.echogen-sweep .grid { display: grid; gap: 2px; }
.echogen-sweep .label { position: sticky; z-index: 1; padding: 2px 6px; background: var(--comfy-input-bg, #222);
  display: flex; align-items: center; justify-content: center; white-space: nowrap; }
.echogen-sweep .across { top: 0; }
.echogen-sweep .down { left: 0; }
.echogen-sweep .across.down { z-index: 2; }
.echogen-sweep button { padding: 0; border-width: 2px; aspect-ratio: 1; min-width: 64px; overflow: hidden; }
.echogen-sweep button:disabled { cursor: default; }
.echogen-sweep button img { display: block; width: 100%; height: 100%; object-fit: contain; }
.echogen-sweep button:focus-visible { outline-offset: -2px; }
`;

/** Sweeps by workflow and node id, because undo recreates nodes and runs continue in other tabs.
 *  @type {Map<string, Table>} */
const tables = new Map();
/** @type {Record<string, string>} */
let texts = {};

const rootOf = (/** @type {any} */ node) => node.graph?.rootGraph ?? node.graph;
const keyOf = (/** @type {any} */ node) => keyFor(rootOf(node)?.id, node.id);
const keyFor = (/** @type {unknown} */ graph, /** @type {unknown} */ node) => `${textOf(graph)} ${textOf(node)}`;
function receive(/** @type {string} */ key, /** @type {unknown} */ data) {
  const table = readTable(data);
  if (table) tables.set(key, merged(tables.get(key), table));
  else console.warn("EchoGen: received an invalid sweep, which is not shown.", data);
}

class SweepView {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.run = "";
    this.listed = "";
    /** The state that was last drawn. @type {unknown[]} */
    this.drawnFrom = [];
    this.note = "";
    /** @type {Map<string, HTMLButtonElement>} */
    this.buttons = new Map();
    addStyle(document, "echogen-sweep-style", STYLE);
    this.status = make(document, "span", { className: "status", role: "status" });
    this.samplers = make(document, "select", { title: texts.sampler, hidden: true });
    this.samplers.setAttribute("aria-label", texts.sampler);
    this.samplers.addEventListener("change", () => {
      asOneStep(() => (this.node.properties[CHOSEN_SAMPLER] = this.samplers.value));
    });
    this.cells = make(document, "div", { className: "cells" });
    this.cells.dataset.captureWheel = "true"; // Nodes 2.0 would zoom instead
    this.root = make(
      document,
      "div",
      { className: "echogen-sweep" },
      make(document, "div", { className: "bar" }, this.status, this.samplers),
      this.cells,
    );
  }

  /** Redraws for changes of the sweep, the samplers in the graph, and the chosen one's values. */
  draw() {
    showAutoValues(this.node, this.root, texts);
    const table = tables.get(keyOf(this.node));
    const samplers = (this.node.graph?.nodes ?? []).filter(
      (/** @type {any} */ { comfyClass }) => comfyClass === "EchoGenSampler",
    );
    const sampler = target(samplers, this.node, ownProperty(this.node.properties, CHOSEN_SAMPLER));
    this.#listSamplers(samplers, sampler);
    if (!table) return this.#setStatus(texts.empty);
    if (table.run !== this.run) this.#layOut(table);
    this.#setStatus(this.note || `${table.cells.length} / ${total(table)}`);
    const state = [table.run, table.cells.length, sampler?.id, ...SETTINGS.map((name) => valueOf(sampler, name))];
    if (sameItems(state, this.drawnFrom)) return;
    this.drawnFrom = state;
    for (const cell of table.cells) this.#show(table, cell, sampler);
  }

  /** @param {string} text */
  #setStatus(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  /** Lists the samplers if there are several. @param {any[]} samplers @param {any} sampler */
  #listSamplers(samplers, sampler) {
    const names = samplers.map(({ id, title }) => `${textOf(title)} #${textOf(id)}`);
    const listed = [sampler?.id, ...names].join("\n");
    if (listed === this.listed) return;
    this.listed = listed;
    this.samplers.hidden = samplers.length < 2;
    this.samplers.replaceChildren(
      ...samplers.map(({ id }, index) => make(document, "option", { value: String(id) }, `→ ${names[index]}`)),
    );
    this.samplers.value = String(sampler?.id);
  }

  /** Lays out empty cells with their labels. @param {Table} table */
  #layOut(table) {
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
        sheet.style.flex = `1 1 ${70 * table.columns.length + 60}px`; // small grids side by side
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
      button.addEventListener("click", () => this.#applyTo(table, cell));
    }
    const same = Object.entries(settings(table, cell)).every(([name, value]) => valueOf(sampler, name) === value);
    button.setAttribute("aria-pressed", String(same));
  }

  /** Sets the sampler to a cell's values. @param {Table} table @param {Cell} cell */
  #applyTo(table, cell) {
    const sampler = this.node.graph?.getNodeById(this.samplers.value);
    if (!sampler) return void (this.note = texts.no_sampler);
    const set = settings(table, cell);
    asOneStep(() => {
      const { locked, tooLong } = applySettings(sampler, set);
      const notes = Object.entries({
        [texts.locked]: locked.map((name) => texts[name]),
        [texts.too_long]: tooLong.map((name) => `${texts[name]} ${set[name]}`),
      });
      this.note = notes.flatMap(([text, names]) => (names.length ? [`${text}: ${names.join(", ")}`] : [])).join(". ");
    });
  }
}

const valueOf = (/** @type {any} */ node, /** @type {string} */ name) => node && samplerSource(node, name).value;

app.registerExtension({
  name: `${PACK}.Sweep`,
  async init() {
    texts = await loadTexts("echogen_sweep");
    api.addEventListener("echogen.cell", (/** @type {any} */ { detail }) => {
      receive(keyFor(ownProperty(detail, "graph"), ownNumber(textOf(ownProperty(detail, "node")))), detail);
    });
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== "EchoGenGammaSweep") return;
    addView(new SweepView(node), "sweep", texts.label, HEIGHT);
    const before = node.onExecuted;
    node.onExecuted = function (/** @type {any} */ output) {
      before?.apply(this, arguments);
      for (const table of listOf(ownProperty(output, "echogen_sweep"))) receive(keyOf(this), table);
    };
  },
});
