// @ts-check
/** Pinned results: γ, seed and settings of a run, and which two are compared. Pure functions: no page. */

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

/**
 * A pin from the sampler's inputs as the server ran them; what came over a wire is a list there.
 * @param {string} id @param {Record<string, any> | null} inputs @param {string} thumb @returns {Pin}
 */
export function pinOf(id, inputs, thumb) {
  const own = Object.entries(inputs ?? {}).filter(([, value]) => !Array.isArray(value));
  const { gamma_t: t, gamma_i: i, ...settings } = Object.fromEntries(own);
  const scheduled = Array.isArray(inputs?.guidance);
  return { id, gamma: t === undefined || i === undefined || scheduled ? null : { t, i }, settings, thumb };
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
