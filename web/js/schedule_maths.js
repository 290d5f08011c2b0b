// @ts-check
/** The values of Guidance Schedule at each scale, as in echogen_core/sampling/guidance.py. Pure functions. */

import { GAMMA_MAX } from "./gamma_maths.js";
import { parseNumbers } from "./number_list.js";
import { numberOf, ownProperty } from "./plain_values.js";

/** Options of the node's shape. */
export const SHAPES = Object.freeze(["constant", "early", "late off", "linear", "cosine"]);
const MAX_POINTS = 32;

/** @typedef {{shape: string, gamma_t: number, gamma_i: number, end: number, points_t: string,
 *   points_i: string}} Settings */
/** @typedef {"t" | "i"} Axis */

/**
 * The share of γ that a shape applies at a position from 0, the first scale, to 1.
 * @type {Record<string, (place: number) => number>}
 */
const LEVELS = {
  constant: () => 1,
  early: (place) => Number(place <= 1 / 3),
  "late off": (place) => Number(place <= 2 / 3),
  linear: (place) => 1 - place,
  cosine: (place) => 0.5 * (1 + Math.cos(Math.PI * place)),
};

/**
 * The node's effective settings.
 * @param {(name: string) => unknown} value  of a setting @returns {Settings | null}  null if one is not of its type
 */
export function readSettings(value) {
  const [shape, points_t, points_i] = ["shape", "points_t", "points_i"].map(value);
  const [gamma_t, gamma_i, end] = ["gamma_t", "gamma_i", "end"].map((name) => numberOf(value(name)));
  if (typeof shape !== "string" || typeof points_t !== "string" || typeof points_i !== "string") return null;
  return Number.isNaN(gamma_t + gamma_i + end) ? null : { shape, gamma_t, gamma_i, end, points_t, points_i };
}

/**
 * The numbers of a text as points of a curve; null for a text that the node refuses.
 * @param {string} text @returns {number[] | null}
 */
export function parsePoints(text) {
  const points = parseNumbers(text, MAX_POINTS);
  return points?.every((point) => point >= 0 && point <= GAMMA_MAX) ? points : null;
}

/**
 * γ at each of a picture's scales; null if the points can't be read.
 * @param {Settings} settings @param {Axis} axis @param {number} scales @returns {number[] | null}
 */
export function curve(settings, axis, scales) {
  const places = Array.from({ length: scales }, (_, scale) => scale / Math.max(1, scales - 1));
  if (settings.shape === "drawn") {
    const points = parsePoints(axis === "t" ? settings.points_t : settings.points_i);
    return points && places.map((at) => interpolate(points, at));
  }
  const start = axis === "t" ? settings.gamma_t : settings.gamma_i;
  const level = /** @type {typeof LEVELS[string] | undefined} */ (ownProperty(LEVELS, settings.shape));
  return level ? places.map((at) => level(at) * start + (1 - level(at)) * settings.end) : null;
}

/** @param {number[]} points @param {number} place */
function interpolate(points, place) {
  const position = place * (points.length - 1);
  const before = Math.min(Math.floor(position), points.length - 1);
  const after = Math.min(before + 1, points.length - 1);
  const share = position - before;
  return share === 0 ? points[before] : (1 - share) * points[before] + share * points[after];
}

/** Weights of the branches: text and subject, text only, neither. @param {number} t @param {number} i */
export const weights = (t, i) => [i, t - i, 1 - t];

/**
 * Which branches are computed at each scale: those with a weight there or at a later scale.
 * @param {number[]} t @param {number[]} i @returns {boolean[][]}
 */
export function needed(t, i) {
  const nonzero = t.map((gamma, scale) => weights(gamma, i[scale]).map((weight) => weight !== 0));
  return nonzero.map((_, scale) => [0, 1, 2].map((branch) => nonzero.slice(scale).some((each) => each[branch])));
}

/**
 * The tokens that a schedule computes, as a share of those that full guidance does, in per cent.
 * @param {boolean[][]} used  as `needed` @param {readonly number[]} sides  of the scales' grids in tokens
 */
export function cost(used, sides) {
  const tokens = sides.map((side) => side * side);
  const all = tokens.reduce((sum, each) => sum + each, 0);
  const computed = tokens.reduce((sum, each, scale) => sum + each * used[scale].filter(Boolean).length, 0);
  return Math.round((100 * computed) / (3 * all));
}

/** Points as the node's text fields contain them. @param {number[]} points */
export const formatPoints = (points) => points.map((point) => String(Number(point.toFixed(2)))).join(", ");
