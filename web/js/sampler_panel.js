// @ts-check
/** The panel below EchoGen Sampler's widgets: pad, Live, the strip of scales, the picture and pins to compare it with. */

import { showAutoValues } from "./auto_values.js";
import { samplerSource } from "./gamma_bridge.js";
import { GammaPad, HEIGHT as PAD_HEIGHT } from "./gamma_pad.js";
import { nameOf } from "./error_boundary.js";
import { LiveRow } from "./live_row.js";
import { filled, ownProperty, roundedSeed } from "./plain_values.js";
import { addStyle, make } from "./dom.js";
import { pinOf, choose, LABELS, readPins, caption, withoutPin, withPin, settable } from "./pins.js";
import { PictureView, STYLE as PICTURE_STYLE } from "./picture_view.js";
import { PinsView, STYLE as PINS_STYLE } from "./pins_view.js";
import { applySettings } from "./sampler_settings.js";
import { ScaleStrip } from "./scale_strip.js";
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
 * @property {() => void} commit  completes a change as an undo step
 * @property {(run: string, node: any) => Promise<Record<string, any> | null>} inputsOf  as the server ran them
 * @property {(picture: Blob) => Promise<string>} thumbnail  a small copy as a data: URL
 */

const MAX_FULL_SIZE = 32; // pictures stored in full; removed pins keep theirs, for undo
const [LIVE_ROW, STRIP, LEAST_PICTURE] = [24, 50, 222];
/**
 * Least height in pixels, the same in every state, so that nothing jumps and the node keeps its size: what isn't there
 * leaves its room to the picture.
 */
export const HEIGHT = PAD_HEIGHT + LIVE_ROW + STRIP + LEAST_PICTURE + 20;
/** Names in node.properties, which are saved in the workflow file. */
const [FINISH, PINNED] = ["echogen_live_finish", "echogen_pins"];
const FORMER_LIVE = "echogen_live"; // files saved by version 0.1 may have Live on

const STYLE = `
.echogen-panel { display: flex; flex-direction: column; gap: 4px; height: 100%; min-height: ${HEIGHT}px; }
.echogen-panel .live-row, .echogen-panel .strip { display: flex; gap: 4px; flex: none; }
.echogen-panel .result { display: flex; gap: 4px; flex: 1 1 0; min-height: 0; }
.echogen-panel .note { flex: none; max-height: 32px; overflow: hidden; padding-left: 6px;
  border-left: 3px solid var(--echogen-accent); }
.echogen-panel .live-row { height: ${LIVE_ROW}px; align-items: center; }
.echogen-panel .status { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.echogen-panel .strip { height: ${STRIP}px; }
.echogen-panel .scales { display: flex; gap: 2px; flex: 1; min-width: 0; }
.echogen-panel .scales button { flex: 1; min-width: 0; max-width: ${STRIP}px; padding: 1px; }
.echogen-panel .scales img { width: 100%; height: 100%; object-fit: contain; }
/* The front end's own view of the picture in progress, in Nodes 2.0: the panel has one. Without the mark, \`:has\` would
   make the browser look at the whole page after each change. */
[data-echogen-panel] > :is(img, img + div), [data-echogen-panel] > div:has(img):not(:has(.echogen-panel)) {
  display: none; }
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
    /** Runs of the compared pins. @type {string[]} */
    this.compared = [];
    /** What a pin could not set, until the state that it left changes. */
    this.notSet = { text: "", state: "" };
    addStyle(page, "echogen-panel-style", STYLE + PICTURE_STYLE + PINS_STYLE);
    const { texts } = host;
    this.pad = new GammaPad(bridge, texts, () => this.#settled(), page);
    this.liveRow = new LiveRow(texts, (choice) => this.#setLive(choice), page);
    this.scales = new StripView(texts, (scale) => this.#enlarge(scale), () => this.#pin(), page);
    const actions = {
      choose: (/** @type {Pin} */ pin) => this.#choose(pin),
      use: (/** @type {Pin} */ pin) => this.#use(pin),
      remove: (/** @type {Pin} */ pin) => this.#unpin(pin),
    };
    this.pinsView = new PinsView(texts, actions, page);
    this.pictureView = new PictureView(texts, page);
    this.note = make(page, "div", { className: "note", hidden: true });
    this.note.setAttribute("role", "status");
    const result = make(page, "div", { className: "result" }, this.pictureView.root, this.pinsView.root);
    const rows = [this.pad.root, this.note, this.liveRow.root, this.scales.root, result];
    this.root = make(page, "div", { className: "echogen-panel" }, ...rows);
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
    this.root.closest('[data-testid^="node-body"]')?.toggleAttribute("data-echogen-panel", true);
    this.pad.draw();
    this.#drawNote();
    showAutoValues(this.node, this.root, this.host.texts);
    if (ownProperty(this.node.properties, FORMER_LIVE) !== undefined) delete this.node.properties[FORMER_LIVE];
    const seat = this.host.seatOf(this.node);
    if (seat) this.#sit(seat);
    this.#drawPictures();
  }

  /** The settings that a pin sets, and the run that is shown. */
  #state() {
    const settings = Object.keys(LABELS).map((name) => samplerSource(this.node, name).value);
    return [this.strip.run, ...settings].join(" ");
  }

  #drawNote() {
    const seed = roundedSeed(sourceOf(this.node, "seed").value);
    if (this.notSet.text && this.notSet.state !== this.#state()) this.notSet.text = "";
    const notes = [seed && filled(this.host.texts.seed_rounded, "seed", seed), this.notSet.text];
    const text = notes.filter(Boolean).join(". ");
    if (this.note.textContent === text) return;
    this.note.textContent = this.note.title = text;
    this.note.hidden = !text;
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
    this.pictureView.draw(this.#shown());
  }

  /** A scale, or two pins, or a pin and the latest picture, or that alone. @returns {import("./picture_view.js").Shown[]} */
  #shown() {
    const { texts, fullSize } = this.host;
    const { pictures, run } = this.strip;
    const upTo = pictures.slice(0, (this.enlarged ?? pictures.length) + 1);
    const scale = upTo.findLastIndex((picture) => picture);
    const picture = upTo[scale];
    if (picture && this.enlarged !== null) return [{ picture, caption: `${texts.scale} ${scale + 1}` }];
    const pins = this.compared.map((id) => this.pins.find((pin) => pin.id === id)).filter((pin) => !!pin);
    const shown = pins.map((pin) => ({ picture: fullSize.get(pin.id) ?? pin.thumb, caption: caption(pin) }));
    if (!picture || pins.length === 2 || pins[0]?.id === run) return shown;
    return [...shown, { picture, caption: shown.length ? texts.latest : "" }];
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

  /** Shows a pin beside the one chosen before it, or beside the latest picture. @param {Pin} pin */
  #choose(pin) {
    this.enlarged = null;
    this.compared = choose(this.compared, pin.id);
    this.#drawPictures();
  }

  /** Sets γ, seed and tau as the pin has them; with Live on, a run follows. @param {Pin} pin */
  #use(pin) {
    const { texts } = this.host;
    const { locked, tooLong } = applySettings(this.node, settable(pin));
    const notes = Object.entries({ [texts.pin_locked]: locked, [texts.pin_too_long]: tooLong });
    const text = notes
      .flatMap(([text, names]) => (names.length ? `${text}: ${names.map((name) => LABELS[name]).join(", ")}` : []))
      .join(". ");
    this.notSet = { text, state: this.#state() };
    this.#settled();
    this.draw();
  }
}
