// @ts-check
/** Positions of γ_t and γ_I on the pad, and what they cost. Pure functions without DOM. */

/** Largest γ of the widgets. */
export const GAMMA_MAX = 8;
/** Below 1: the useful region, up to about 4, takes two thirds of each side, with 2.5 in the middle. */
const BEND = 0.6;

/** @typedef {{t: number, i: number}} Gamma  γ_t (prompt) and γ_I (subject), 0 to 8 */

/** The official default. @type {Readonly<Gamma>} */
export const DEFAULT = Object.freeze({ t: 2.5, i: 2.5 });

/**
 * The buttons below the pad, from the least of the subject to the most: far enough apart to be told apart by the eye.
 * @type {Readonly<Record<string, Gamma>>}
 */
export const PRESETS = Object.freeze({
  scene_only: { t: 2.5, i: 0 },
  more_prompt: { t: 4, i: 1 },
  balanced: DEFAULT,
  more_subject: { t: 1, i: 5 },
});

/** nano's: a γ_I beyond 2.5 changes its pictures visibly with γ_t 0 alone. @type {typeof PRESETS} */
export const NANO_PRESETS = Object.freeze({ ...PRESETS, more_subject: { t: 0, i: 4 } });

/** @param {number} value @returns {number} */
const clamp = (value) => Math.min(GAMMA_MAX, Math.max(0, value));

/**
 * A value rounded to the widgets' step of 0.05, or to a coarser one.
 * @param {number} value @param {number} [step] @returns {number}
 */
export const snap = (value, step = 0.05) => Number(clamp(Math.round(value / step) * step).toFixed(2));

/** Position of a γ along a side, 0 to 1. @param {number} gamma @returns {number} */
export const toShare = (gamma) => (clamp(gamma) / GAMMA_MAX) ** BEND;

/** The γ at a position along a side, clamped to the pad. @param {number} share @returns {number} */
export const toGamma = (share) => GAMMA_MAX * Math.min(1, Math.max(0, share)) ** (1 / BEND);

/**
 * γ under the pointer: in coarse steps that snap to the diagonal, or in fine ones.
 * @param {number} across share from the left @param {number} up share from the bottom
 * @param {boolean} fine @returns {Gamma}
 */
export function gammaAt(across, up, fine) {
  const [t, i] = [toGamma(across), toGamma(up)];
  if (fine) return { t: snap(t), i: snap(i) };
  if (Math.abs(across - up) < 0.02) {
    const both = snap((t + i) / 2, 0.1);
    return { t: both, i: both };
  }
  return { t: snap(t, 0.1), i: snap(i, 0.1) };
}

/**
 * γ after an arrow key, with the default in place of an unknown one; null for any other key.
 * @param {Gamma} gamma @param {string} key @param {boolean} fine @returns {Gamma | null}
 */
export function gammaAfterKey(gamma, key, fine) {
  const step = fine ? 0.05 : 0.25;
  const moves = /** @type {Record<string, [number, number]>} */ ({
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowUp: [0, step],
    ArrowDown: [0, -step],
  });
  const move = moves[key];
  const [t, i] = [orDefault(gamma.t, DEFAULT.t), orDefault(gamma.i, DEFAULT.i)];
  return move ? { t: snap(t + move[0]), i: snap(i + move[1]) } : null;
}

const orDefault = (/** @type {number} */ gamma, /** @type {number} */ fallback) =>
  Number.isNaN(gamma) ? fallback : gamma;

/** How many of the three branches have a weight. @param {Gamma} gamma @returns {number} */
export const branches = ({ t, i }) => [i, t - i, 1 - t].filter((weight) => weight !== 0).length;
