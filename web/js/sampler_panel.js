// @ts-check
/** What EchoGen Sampler shows below its widgets: pad, Live, the strip of scales, pins and their comparison. */

import { GammaPad, HEIGHT as PAD_HEIGHT } from "./gamma_pad.js";
import { nameOf } from "./guard.js";
import { LiveRow } from "./live_row.js";
import { own, textOf } from "./outside.js";
import { addStyle, make } from "./page.js";
import { pinOf, choose, readPins, short, withoutPin, withPin } from "./pins.js";
import { PinsView } from "./pins_view.js";
import { ScaleStrip } from "./scale_strip.js";
import { ROOM, Stage } from "./stage.js";
import { StripView } from "./strip_view.js";

/** @typedef {import("./gamma_bridge.js").GammaBridge} GammaBridge */
/** @typedef {import("./pins.js").Pin} Pin */
/**
 * What the panel asks of the app.
 * @typedef {object} Host
 * @property {Record<string, string>} texts
 * @property {import("./live_queue.js").LiveQueue} live
 * @property {Map<string, Blob>} full  pinned pictures in full, by run; gone with the page
 * @property {(node: any) => void} resized  the panel's height has changed
 * @property {() => void} remember  a change is complete: a step for undo
 * @property {(run: string, node: any) => Promise<Record<string, any> | null>} inputsOf  as the server ran them
 * @property {(picture: Blob) => Promise<string>} thumb  a small copy as a data: address
 */

const FULL = 32; // pictures kept in full; removed pins keep theirs, for undo
const GAP = 4;
const [LIVE_ROW, STRIP, PINS, STAGE] = [24, 50, 56, ROOM + 18];
/** Names in node.properties, which the workflow file keeps. */
const [LIVE, FINISH, PINNED] = ["echogen_live", "echogen_live_finish", "echogen_pins"];

const STYLE = `
.echogen-panel { display: flex; flex-direction: column; gap: ${GAP}px; box-sizing: border-box; width: 100%;
  height: 100%; font: 12px sans-serif; color: #e6e6e6; }
.echogen-panel [hidden] { display: none !important; }
.echogen-panel .live-row, .echogen-panel .strip, .echogen-panel .pins { display: flex; gap: 4px; flex: none; }
.echogen-panel .live-row { height: ${LIVE_ROW}px; align-items: center; }
.echogen-panel .strip { height: ${STRIP}px; }
.echogen-panel .pins { height: ${PINS}px; overflow-x: auto; }
.echogen-panel button, .echogen-panel select { padding: 2px 6px; font: inherit; color: #e6e6e6;
  background: #35353b; border: 1px solid #5c5c66; border-radius: 4px; cursor: pointer; }
.echogen-panel button:disabled { color: #a0a0a8; cursor: not-allowed; }
.echogen-panel button[aria-pressed="true"] { border-color: #ffb02e; }
.echogen-panel .live[aria-pressed="true"] { color: #1c1c1f; background: #ffb02e; }
.echogen-panel :is(button, select, input):focus-visible { outline: 2px solid #7cb7ff; }
.echogen-panel .status { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; color: #c9c9cf; }
.echogen-panel .refused { color: #ff9d8a; }
.echogen-panel .scales { display: flex; gap: 2px; flex: 1; min-width: 0; }
.echogen-panel .scales button { flex: 1; min-width: 0; max-width: ${STRIP}px; padding: 1px; background: #1c1c1f; }
.echogen-panel .scales img { width: 100%; height: 100%; object-fit: contain; }
.echogen-panel .pinned { position: relative; flex: none; }
.echogen-panel .pinned button { display: flex; flex-direction: column; align-items: center; height: 100%;
  padding: 2px 4px; font-size: 11px; }
.echogen-panel .pinned img { height: 36px; object-fit: contain; }
.echogen-panel .pinned .unpin { position: absolute; top: 0; right: 0; height: auto; padding: 0 4px; opacity: 0; }
.echogen-panel .pinned:is(:hover, :focus-within) .unpin { opacity: 1; }
.echogen-panel .stage { flex: none; height: ${STAGE}px; }
.echogen-panel .stage .box { position: relative; margin: 0 auto; }
.echogen-panel .stage img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.echogen-panel .stage .grown img { image-rendering: pixelated; }
.echogen-panel .stage .divider { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 2px #000; pointer-events: none; }
.echogen-panel .stage input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; touch-action: none; }
.echogen-panel .stage .box:has(input:focus-visible) { outline: 2px solid #7cb7ff; }
.echogen-panel .captions { display: flex; justify-content: space-between; gap: 8px; height: 16px; }
/* Nodes 2.0 would blow the live picture of a small model up to the node's width. */
[data-node-id]:has(.echogen-panel) img:not(.echogen-panel img) { object-fit: scale-down; }
`;

export class SamplerPanel {
  /** @param {GammaBridge} bridge @param {Host} host @param {Document} [page] */
  constructor(bridge, host, page = document) {
    this.bridge = bridge;
    this.host = host;
    this.strip = new ScaleStrip();
    /** The scale that is shown large, from 0. @type {number | null} */
    this.enlarged = null;
    /** What was last found in the place of the pins, and the pins in it. @type {unknown} */
    this.kept = undefined;
    /** @type {Pin[]} */
    this.read = [];
    /** Runs of the pins that are shown large. @type {string[]} */
    this.pair = [];
    /** The node, as the live queue knows it; a removed node is in no graph any more. */
    this.owner = "";
    addStyle(page, "echogen-panel-style", STYLE);
    const { texts } = host;
    this.pad = new GammaPad(bridge, texts, () => this.#settled(), page);
    this.row = new LiveRow(texts, (choice) => this.#switch(choice), page);
    this.scales = new StripView(texts, (scale) => this.#enlarge(scale), () => this.#pin(), page);
    this.tray = new PinsView(texts, (pin) => this.#choose(pin), (pin) => this.#unpin(pin), page);
    this.stage = new Stage(texts, page);
    const views = [this.pad, this.row, this.scales, this.tray, this.stage];
    this.root = make(page, "div", { className: "echogen-panel" }, ...views.map((view) => view.root));
    this.root.style.minHeight = `${this.height}px`;
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button === 0) event.stopPropagation(); // or Nodes 2.0 would drag the node
    });
  }

  /** Height of what there is to show. */
  get height() {
    const parts = [
      [true, PAD_HEIGHT],
      [true, LIVE_ROW],
      [this.strip.pictures.length > 0, STRIP],
      [this.pins.length > 0, PINS],
      [this.enlarged !== null || this.pair.length > 0, STAGE],
    ];
    const heights = parts.filter(([there]) => there).map(([, height]) => Number(height) + GAP);
    return heights.reduce((sum, height) => sum + height, -GAP);
  }

  /** Ends what outlives the element. */
  dispose() {
    void this.host.live.stop(this.owner, this.choice.cancels);
    this.pad.dispose();
  }

  /** @returns {import("./live_row.js").Choice} */
  get choice() {
    const { properties } = this.node;
    return { on: own(properties, LIVE) === true, cancels: own(properties, FINISH) !== true };
  }

  /** What a workflow file has in their place is read once, and what is none dropped from it. @returns {Pin[]} */
  get pins() {
    const { properties } = this.node;
    const kept = own(properties, PINNED);
    if (kept === this.kept) return this.read;
    const { pins, whole } = readPins(kept);
    this.read = pins;
    this.kept = kept;
    if (properties && !whole) {
      console.warn(`EchoGen: some of what ${nameOf(this.node)} had as pins is none and was dropped; ${pins.length} stay.`);
      this.kept = properties[PINNED] = pins;
    }
    return this.read;
  }

  get node() {
    return this.bridge.node;
  }

  set node(node) {
    this.bridge.node = node;
  }

  /** Follows the widgets, the node's properties and the live queue. */
  draw() {
    const { live } = this.host;
    const { graph, id } = this.node;
    if (graph) this.owner = `${textOf(graph.id)}:${textOf(id)}`;
    this.pad.draw();
    if (!this.choice.on && live.owner === this.owner) void live.stop(this.owner, this.choice.cancels);
    this.row.draw(this.choice, live.phase(this.owner), live.owner === this.owner ? live.refusal : "");
    this.#drawPictures();
  }

  /** A preview of this node's run. @param {string} run @param {Blob} picture */
  preview(run, picture) {
    this.strip.preview(run, picture);
    this.#drawPictures();
  }

  #drawPictures() {
    const pins = this.pins;
    this.pair = this.pair.filter((id) => pins.some((pin) => pin.id === id));
    this.scales.draw(this.strip, this.enlarged);
    this.tray.draw(pins, this.pair);
    this.stage.draw(this.#large());
    const height = `${this.height}px`;
    if (this.root.style.minHeight === height) return;
    this.root.style.minHeight = height;
    this.host.resized(this.node);
  }

  /** What is shown large. @returns {import("./stage.js").Shown[]} */
  #large() {
    if (this.enlarged !== null) {
      const there = this.strip.pictures.slice(0, this.enlarged + 1);
      const scale = there.findLastIndex((picture) => picture);
      const picture = there[scale];
      return picture ? [{ picture, caption: `${this.host.texts.scale} ${scale + 1}` }] : [];
    }
    const pins = this.pair.map((id) => this.pins.find((pin) => pin.id === id)).filter((pin) => !!pin);
    return pins.map((pin) => ({ picture: this.host.full.get(pin.id) ?? pin.thumb, caption: short(pin) }));
  }

  #settled() {
    this.host.remember();
    const { on, cancels } = this.choice;
    if (on) void this.host.live.request(this.owner, cancels);
  }

  /** @param {import("./live_row.js").Choice} choice */
  #switch({ on, cancels }) {
    this.#keep({ [LIVE]: on, [FINISH]: !cancels });
  }

  /** Writes into what the workflow file keeps, as one step for undo. @param {Record<string, any>} properties */
  #keep(properties) {
    const { node } = this;
    Object.assign((node.properties ??= {}), properties);
    this.host.remember();
    this.draw();
  }

  /** @param {number} scale */
  #enlarge(scale) {
    this.enlarged = this.enlarged === scale ? null : scale;
    this.pair = [];
    this.#drawPictures();
  }

  async #pin() {
    const { run, finished } = this.strip;
    if (!finished) return;
    const { node } = this;
    const [inputs, thumb] = await Promise.all([this.host.inputsOf(run, node), this.host.thumb(finished)]);
    const { full } = this.host;
    full.set(run, finished);
    if (full.size > FULL) full.delete([...full.keys()][0]);
    this.#keep({ [PINNED]: withPin(this.pins, pinOf(run, inputs, thumb)) });
  }

  /** @param {Pin} pin */
  #unpin(pin) {
    this.#keep({ [PINNED]: withoutPin(this.pins, pin.id) });
  }

  /** Shows a pin, with the one chosen before it, and takes its γ. @param {Pin} pin */
  #choose(pin) {
    this.enlarged = null;
    this.pair = choose(this.pair, pin.id);
    if (pin.gamma) this.bridge.write(pin.gamma);
    this.host.remember();
    this.draw();
  }
}
