// @ts-check
/** Pinned results: γ, seed and settings of a run, and which two are compared. Pure functions without DOM. */

import { exactNumber, isRecord, listOf, numberOf, ownProperty, textOf } from "./plain_values.js";
import { claimedSize } from "./image_size.js";

/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/**
 * A pinned result as the workflow file stores it.
 * @typedef {object} Pin
 * @property {string} id  the run's
 * @property {Gamma | null} gamma  null: it came from a connected input, or is unknown
 * @property {Record<string, number | string>} settings  the sampler's other values in that run
 * @property {string} thumb  a small picture as a data: URL
 */

/** Pins of one sampler; the oldest is dropped. */
export const MAX_PINS = 8;
/** Between the values of a caption. */
export const SEPARATOR = " · ";
/** What the panel calls the settings that a pin restores. @type {Readonly<Record<string, string>>} */
export const LABELS = Object.freeze({ gamma_t: "γ_t", gamma_i: "γ_I", seed: "seed", tau: "tau" });

/** Limits for what a workflow file may contain, generous compared to what is written into one. */
const [LONGEST_ID, LONGEST_THUMB, LARGEST_SIDE, MAX_SETTINGS] = [200, 65536, 512, 32];
const HEADER = 8192; // characters of a data: URL that include the picture's size
const NUMBERS = ["seed", "batch", "tau", "top_p", "top_k"]; // settings that are not texts
/** A data: URL with an image format that holds pixels only, so that showing it requests nothing. */
const THUMB_ADDRESS = /^data:image\/(?:jpeg|png|gif|webp);base64,([A-Za-z0-9+/]+={0,2})$/;

/**
 * A pin from the sampler's inputs as the server ran them; connected inputs are lists there.
 * @param {string} id @param {Record<string, any> | null} inputs @param {string} thumb @returns {Pin}
 */
export function pinOf(id, inputs, thumb) {
  const { gamma_t: t, gamma_i: i, ...settings } = inputs ?? {};
  const gamma = Array.isArray(inputs?.guidance) ? null : gammaOf({ t, i });
  return { id, gamma, settings: settingsOf(settings), thumb };
}

/**
 * The valid pins among what a workflow file stores as pins: the newest MAX_PINS, one per run.
 * complete: nothing was left out.
 * @param {unknown} stored @returns {{pins: Pin[], complete: boolean}}
 */
export function readPins(stored) {
  /** @type {Map<string, Pin>} */
  const pins = new Map();
  const all = [...listOf(stored)].reverse();
  for (const value of all) {
    const pin = pins.size < MAX_PINS ? readPin(value) : null;
    if (pin && !pins.has(pin.id)) pins.set(pin.id, pin);
  }
  const complete = pins.size === all.length && (stored === undefined || Array.isArray(stored));
  return { pins: [...pins.values()].reverse(), complete };
}

/** @param {unknown} value @returns {Pin | null} */
function readPin(value) {
  const [id, gamma, thumb] = ["id", "gamma", "thumb"].map((name) => ownProperty(value, name));
  const settings = ownProperty(value, "settings");
  if (typeof id !== "string" || !id || id.length > LONGEST_ID || !isRecord(settings) || !isThumb(thumb)) return null;
  const pin = { id, gamma: gammaOf(gamma), settings: settingsOf(settings), thumb };
  return pin.gamma || gamma === null ? pin : null;
}

/** Whether a value is a data: URL with a small picture. @param {unknown} address @returns {address is string} */
export function isThumb(address) {
  if (typeof address !== "string" || address.length > LONGEST_THUMB) return false;
  const packed = THUMB_ADDRESS.exec(address)?.[1];
  if (!packed || packed.length % 4) return false;
  const size = claimedSize(Uint8Array.from(atob(packed.slice(0, HEADER)), (letter) => letter.charCodeAt(0)));
  return size !== null && Math.max(size.width, size.height) <= LARGEST_SIDE;
}

/** @param {unknown} value @returns {Gamma | null} */
function gammaOf(value) {
  const [t, i] = [numberOf(ownProperty(value, "t")), numberOf(ownProperty(value, "i"))];
  return Number.isNaN(t + i) ? null : { t, i };
}

/** The numbers and short texts among a pin's settings; all else is dropped. @param {unknown} record */
function settingsOf(record) {
  /** @type {Pin["settings"]} */
  const settings = {};
  for (const [name, value] of Object.entries(isRecord(record) ? record : {}).slice(0, MAX_SETTINGS)) {
    const isNumber = NUMBERS.includes(name) || typeof value === "number";
    const plain = isNumber ? exactNumber(value) : textOf(value);
    if (name === textOf(name) && name !== "__proto__" && plain !== "" && !Number.isNaN(plain)) settings[name] = plain;
  }
  return settings;
}

/**
 * The pins with one more: the oldest is dropped, and a run is pinned once.
 * @param {Pin[]} pins @param {Pin} pin @returns {Pin[]}
 */
export const withPin = (pins, pin) => [...pins.filter(({ id }) => id !== pin.id), pin].slice(-MAX_PINS);

/** The pins without that of a run. @param {Pin[]} pins @param {string} id @returns {Pin[]} */
export const withoutPin = (pins, id) => pins.filter((pin) => pin.id !== id);

/**
 * The chosen pins after a click on one: at most two, before and after. A click on a chosen one deselects it.
 * @param {string[]} chosen @param {string} id @returns {string[]}
 */
export const choose = (chosen, id) =>
  chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id].slice(-2);

/** γ and seed in a few characters. @param {Pin} pin @returns {string} */
export function caption({ gamma, settings }) {
  const known = [gamma ? `γ_t ${gamma.t} · γ_I ${gamma.i}` : "γ ?"];
  if (settings.seed !== undefined) known.push(`seed ${settings.seed}`);
  return known.join(SEPARATOR);
}

/** All values, one per line. @param {Pin} pin @returns {string} */
export function details({ gamma, settings }) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return [gamma ? `γ_t ${gamma.t}, γ_I ${gamma.i}` : "γ ?", ...lines].join("\n");
}

/** The values that a pin restores, by the sampler's widget names; those that it knows. @param {Pin} pin */
export function settable({ gamma, settings }) {
  const values = { gamma_t: gamma?.t, gamma_i: gamma?.i, seed: settings.seed, tau: settings.tau };
  const known = Object.entries(values).filter(([, value]) => value !== undefined);
  return /** @type {Record<string, number | string>} */ (Object.fromEntries(known));
}
