// @ts-check
/** The panel below EchoGen Sampler's widgets: pad, Live, the strip of scales, pins and their comparison. */

import { showAutoValues } from "./auto_values.js";
import { GammaPad, HEIGHT as PAD_HEIGHT } from "./gamma_pad.js";
import { nameOf } from "./error_boundary.js";
import { LiveRow } from "./live_row.js";
import { filled, ownProperty, roundedSeed } from "./plain_values.js";
import { addStyle, make } from "./dom.js";
import { pinOf, choose, readPins, caption, withoutPin, withPin } from "./pins.js";
import { PinsView } from "./pins_view.js";
import { ScaleStrip } from "./scale_strip.js";
import { CompareView, MAX_SIDE } from "./compare_view.js";
import { StripView } from "./strip_view.js";
import { sourceOf } from "./value_source.js";

/** @typedef {import("./gamma_bridge.js").GammaBridge} GammaBridge */
/** @typedef {import("./pins.js").Pin} Pin */
/**
 * A sampler's place in its open workflow, which outlives the panel.
 * @typedef {{session: import("./sessions.js").Session, key: string, strip: ScaleStrip}} Seat
 */
/**
 * The app's interface for the panel.
 * @typedef {object} Host
 * @property {Record<string, string>} texts
 * @property {(node: any) => Seat | null} seatOf  null while it can't be told, as another workflow is being opened
 * @property {Map<string, Blob>} fullSize  full-size pinned pictures, by run, until the page is closed
 * @property {(node: any) => void} resized  the panel's height has changed
 * @property {() => void} commit  completes a change as an undo step
 * @property {(run: string, node: any) => Promise<Record<string, any> | null>} inputsOf  as the server ran them
 * @property {(picture: Blob) => Promise<string>} thumbnail  a small copy as a data: URL
 */

const MAX_FULL_SIZE = 32; // pictures stored in full; removed pins keep theirs, for undo
const GAP = 4;
const [SEED_NOTE, LIVE_ROW, STRIP, PINS, STAGE] = [32, 24, 50, 56, MAX_SIDE + 18];
/** Names in node.properties, which are saved in the workflow file. */
const [FINISH, PINNED] = ["echogen_live_finish", "echogen_pins"];
const FORMER_LIVE = "echogen_live"; // files saved by version 0.1 may have Live on

const STYLE = `
.echogen-panel { display: flex; flex-direction: column; gap: ${GAP}px; box-sizing: border-box; width: 100%;
  height: 100%; font: 12px sans-serif; color: #e6e6e6; }
.echogen-panel [hidden] { display: none !important; }
.echogen-panel .live-row, .echogen-panel .strip, .echogen-panel .pins { display: flex; gap: 4px; flex: none; }
.echogen-panel .seed-note { flex: none; height: ${SEED_NOTE}px; overflow: hidden; color: #ffb347; }
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
/* Nodes 2.0 would enlarge the preview of a small model to the node's width. */
[data-node-id]:has(.echogen-panel) img:not(.echogen-panel img) { object-fit: scale-down; }
`;

/** Puts the views together, and stores pins and the Live setting in the node. */
export class SamplerPanel {
  /** @param {GammaBridge} bridge @param {Host} host @param {Document} [page] */
  constructor(bridge, host, page = document) {
    this.bridge = bridge;
    this.host = host;
    this.strip = new ScaleStrip();
    /** The scale shown enlarged, counted from 0. @type {number | null} */
    this.enlarged = null;
    /** The stored value that was last parsed for pins, and the result. @type {unknown} */
    this.stored = undefined;
    /** @type {Pin[]} */
    this.parsedPins = [];
    /** Runs of the pins shown enlarged. @type {string[]} */
    this.compared = [];
    addStyle(page, "echogen-panel-style", STYLE);
    const { texts } = host;
    this.pad = new GammaPad(bridge, texts, () => this.#settled(), page);
    this.liveRow = new LiveRow(texts, (choice) => this.#setLive(choice), page);
    this.scales = new StripView(texts, (scale) => this.#enlarge(scale), () => this.#pin(), page);
    this.pinsView = new PinsView(texts, (pin) => this.#choose(pin), (pin) => this.#unpin(pin), page);
    this.compareView = new CompareView(texts, page);
    this.seedNote = make(page, "div", { className: "seed-note", hidden: true });
    this.seedNote.setAttribute("role", "status");
    const views = [this.pad, this.liveRow, this.scales, this.pinsView, this.compareView];
    this.root = make(page, "div", { className: "echogen-panel" }, this.seedNote, ...views.map((view) => view.root));
    this.root.style.minHeight = `${this.height}px`;
  }

  /** Current height of all visible parts. */
  get height() {
    const parts = [
      [!this.seedNote.hidden, SEED_NOTE],
      [true, PAD_HEIGHT],
      [true, LIVE_ROW],
      [this.strip.pictures.length > 0, STRIP],
      [this.pins.length > 0, PINS],
      [this.enlarged !== null || this.compared.length > 0, STAGE],
    ];
    const heights = parts.filter(([there]) => there).map(([, height]) => Number(height) + GAP);
    return heights.reduce((sum, height) => sum + height, -GAP);
  }

  /** Ends the pad's observer and timer. Live runs go on, as the workflow may only be out of view. */
  dispose() {
    this.pad.dispose();
  }

  /** Live is on in the workflow's session alone. @param {Seat} seat @returns {import("./live_row.js").Choice} */
  #choice({ session, key }) {
    return { on: session.liveKeys.has(key), cancels: ownProperty(this.node.properties, FINISH) !== true };
  }

  /** The pins in the node's properties, parsed once; invalid ones are removed from there. @returns {Pin[]} */
  get pins() {
    const { properties } = this.node;
    const stored = ownProperty(properties, PINNED);
    if (stored === this.stored) return this.parsedPins;
    const { pins, complete } = readPins(stored);
    this.parsedPins = pins;
    this.stored = stored;
    if (properties && !complete) {
      console.warn(`EchoGen: dropped invalid pins of ${nameOf(this.node)}; valid ones: ${pins.length}.`);
      this.stored = properties[PINNED] = pins;
    }
    return this.parsedPins;
  }

  get node() {
    return this.bridge.node;
  }

  set node(node) {
    this.bridge.node = node;
  }

  /** Redraws for changes of the widgets, the node's properties and its workflow's session. */
  draw() {
    this.pad.draw();
    this.#drawSeedNote();
    showAutoValues(this.node, this.root, this.host.texts);
    if (ownProperty(this.node.properties, FORMER_LIVE) !== undefined) delete this.node.properties[FORMER_LIVE];
    const seat = this.host.seatOf(this.node);
    if (seat) this.#sit(seat);
    this.#drawPictures();
  }

  #drawSeedNote() {
    const seed = roundedSeed(sourceOf(this.node, "seed").value);
    const text = seed && filled(this.host.texts.seed_rounded, "seed", seed);
    if (this.seedNote.textContent === text) return;
    this.seedNote.textContent = this.seedNote.title = text;
    this.seedNote.hidden = !text;
  }

  /** @param {Seat} seat */
  #sit(seat) {
    const { session, key, strip } = seat;
    const { live } = session;
    this.strip = strip;
    this.liveRow.draw(this.#choice(seat), live.phase(key), live.owner === key ? live.refusal : "");
  }

  #drawPictures() {
    const pins = this.pins;
    this.compared = this.compared.filter((id) => pins.some((pin) => pin.id === id));
    this.scales.draw(this.strip, this.enlarged);
    this.pinsView.draw(pins, this.compared);
    this.compareView.draw(this.#enlargedPictures());
    const height = `${this.height}px`;
    if (this.root.style.minHeight === height) return;
    this.root.style.minHeight = height;
    this.host.resized(this.node);
  }

  /** The enlarged pictures: a scale, or the compared pins. @returns {import("./compare_view.js").Shown[]} */
  #enlargedPictures() {
    if (this.enlarged !== null) {
      const upTo = this.strip.pictures.slice(0, this.enlarged + 1);
      const scale = upTo.findLastIndex((picture) => picture);
      const picture = upTo[scale];
      return picture ? [{ picture, caption: `${this.host.texts.scale} ${scale + 1}` }] : [];
    }
    const pins = this.compared.map((id) => this.pins.find((pin) => pin.id === id)).filter((pin) => !!pin);
    return pins.map((pin) => ({ picture: this.host.fullSize.get(pin.id) ?? pin.thumb, caption: caption(pin) }));
  }

  #settled() {
    this.host.commit();
    const seat = this.host.seatOf(this.node);
    if (!seat) return;
    const { on, cancels } = this.#choice(seat);
    if (on) void seat.session.live.request(seat.key, cancels);
  }

  /** @param {import("./live_row.js").Choice} choice */
  #setLive({ on, cancels }) {
    const seat = this.host.seatOf(this.node);
    if (!seat) return;
    const before = this.#choice(seat);
    if (on) seat.session.startLive(seat.key);
    else seat.session.endLive(seat.key, cancels);
    if (cancels === before.cancels) this.draw();
    else this.#store({ [FINISH]: !cancels });
  }

  /** Sets properties that are saved in the workflow file, as one undo step. @param {Record<string, any>} properties */
  #store(properties) {
    const { node } = this;
    Object.assign((node.properties ??= {}), properties);
    this.host.commit();
    this.draw();
  }

  /** @param {number} scale */
  #enlarge(scale) {
    this.enlarged = this.enlarged === scale ? null : scale;
    this.compared = [];
    this.#drawPictures();
  }

  async #pin() {
    const { run, finished } = this.strip;
    if (!finished) return;
    const { node } = this;
    const [inputs, thumb] = await Promise.all([this.host.inputsOf(run, node), this.host.thumbnail(finished)]);
    const { fullSize } = this.host;
    fullSize.set(run, finished);
    if (fullSize.size > MAX_FULL_SIZE) fullSize.delete([...fullSize.keys()][0]);
    this.#store({ [PINNED]: withPin(this.pins, pinOf(run, inputs, thumb)) });
  }

  /** @param {Pin} pin */
  #unpin(pin) {
    this.#store({ [PINNED]: withoutPin(this.pins, pin.id) });
  }

  /** Shows a pin beside the one chosen before it, and sets its γ. @param {Pin} pin */
  #choose(pin) {
    this.enlarged = null;
    this.compared = choose(this.compared, pin.id);
    if (pin.gamma) this.bridge.write(pin.gamma);
    this.host.commit();
    this.draw();
  }
}
