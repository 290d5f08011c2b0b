// @ts-check
/** Pinned results: γ, seed and settings of a run, and which two are compared. Pure functions: no page. */

import { isRecord, listOf, numberOf, own, textOf } from "./outside.js";
import { claimedSize } from "./picture_head.js";

/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/**
 * What the workflow file keeps of a pinned result.
 * @typedef {object} Pin
 * @property {string} id  the run's
 * @property {Gamma | null} gamma  null: it came over a wire, or is not known
 * @property {Record<string, number | string>} settings  the sampler's other values in that run
 * @property {string} thumb  a small JPEG as a data: address
 */

export const MOST = 8;
/** Longest side of what the workflow file keeps of a picture: two to three kilobytes. */
export const THUMB = 64;

/** Bounds of what is taken from a workflow file, generous beside what is written into one. */
const [LONGEST_ID, LONGEST_THUMB, LARGEST_SIDE, MOST_SETTINGS] = [200, 65536, 512, 32];
const HEAD = 8192; // characters of an address within which a picture has said its size
const NUMBERS = ["seed", "batch", "tau", "top_p", "top_k"]; // settings that are no texts
/** A picture in the address itself, of the kinds that are only pixels: nothing is asked for to show it. */
const THUMB_ADDRESS = /^data:image\/(?:jpeg|png|gif|webp);base64,([A-Za-z0-9+/]+={0,2})$/;

/**
 * A pin from the sampler's inputs as the server ran them; what came over a wire is a list there.
 * @param {string} id @param {Record<string, any> | null} inputs @param {string} thumb @returns {Pin}
 */
export function pinOf(id, inputs, thumb) {
  const { gamma_t: t, gamma_i: i, ...settings } = inputs ?? {};
  const gamma = Array.isArray(inputs?.guidance) ? null : gammaOf({ t, i });
  return { id, gamma, settings: settingsOf(settings), thumb };
}

/**
 * The pins in what a workflow file has in their place: those that are what a pin is, each run's once, the newest that
 * there is room for. whole: nothing was left out.
 * @param {unknown} kept @returns {{pins: Pin[], whole: boolean}}
 */
export function readPins(kept) {
  /** @type {Map<string, Pin>} */
  const pins = new Map();
  const all = [...listOf(kept)].reverse();
  for (const told of all) {
    const pin = pins.size < MOST ? readPin(told) : null;
    if (pin && !pins.has(pin.id)) pins.set(pin.id, pin);
  }
  const whole = pins.size === all.length && (kept === undefined || Array.isArray(kept));
  return { pins: [...pins.values()].reverse(), whole };
}

/** @param {unknown} told @returns {Pin | null} */
function readPin(told) {
  const [id, gamma, thumb] = ["id", "gamma", "thumb"].map((name) => own(told, name));
  const settings = own(told, "settings");
  if (typeof id !== "string" || !id || id.length > LONGEST_ID || !isRecord(settings) || !isThumb(thumb)) return null;
  const pin = { id, gamma: gammaOf(gamma), settings: settingsOf(settings), thumb };
  return pin.gamma || gamma === null ? pin : null;
}

/** Whether an address is a small picture of its own. @param {unknown} address @returns {address is string} */
export function isThumb(address) {
  if (typeof address !== "string" || address.length > LONGEST_THUMB) return false;
  const packed = THUMB_ADDRESS.exec(address)?.[1];
  if (!packed || packed.length % 4) return false;
  const size = claimedSize(Uint8Array.from(atob(packed.slice(0, HEAD)), (letter) => letter.charCodeAt(0)));
  return size !== null && Math.max(size.width, size.height) <= LARGEST_SIDE;
}

/** @param {unknown} told @returns {Gamma | null} */
function gammaOf(told) {
  const [t, i] = [numberOf(own(told, "t")), numberOf(own(told, "i"))];
  return Number.isNaN(t + i) ? null : { t, i };
}

/** The numbers and short texts among settings; what is neither is no loss to a pin. @param {unknown} told */
function settingsOf(told) {
  /** @type {Pin["settings"]} */
  const settings = {};
  for (const [name, value] of Object.entries(isRecord(told) ? told : {}).slice(0, MOST_SETTINGS)) {
    const plain = NUMBERS.includes(name) || typeof value === "number" ? numberOf(value) : textOf(value);
    if (name === textOf(name) && name !== "__proto__" && plain !== "" && !Number.isNaN(plain)) settings[name] = plain;
  }
  return settings;
}

/** The oldest makes room; a run is pinned once. @param {Pin[]} pins @param {Pin} pin @returns {Pin[]} */
export const withPin = (pins, pin) => [...pins.filter(({ id }) => id !== pin.id), pin].slice(-MOST);

/** @param {Pin[]} pins @param {string} id @returns {Pin[]} */
export const withoutPin = (pins, id) => pins.filter((pin) => pin.id !== id);

/**
 * The pins chosen, at most two: before and after. Choosing one of two again leaves the other.
 * @param {string[]} chosen @param {string} id @returns {string[]}
 */
export const choose = (chosen, id) =>
  chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id].slice(-2);

/** γ and seed in a few characters. @param {Pin} pin @returns {string} */
export function short({ gamma, settings }) {
  const seed = settings.seed === undefined ? "" : ` · ${settings.seed}`;
  return `${gamma ? `${gamma.t} / ${gamma.i}` : "γ ?"}${seed}`;
}

/** Everything known, a line each. @param {Pin} pin @returns {string} */
export function long({ gamma, settings }) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return [gamma ? `γ_t ${gamma.t}, γ_I ${gamma.i}` : "γ ?", ...lines].join("\n");
}

/**
 * How large a picture is shown: whole times its size while that fits, and never larger than the room.
 * @param {number} width @param {number} height @param {number} across room @param {number} down room
 * @returns {{width: number, height: number}}
 */
export function fitted(width, height, across, down) {
  const share = Math.min(across / width, down / height);
  const scale = share >= 1 ? Math.floor(share) : share;
  return { width: width * scale, height: height * scale };
}
