// @ts-check
/** Where γ_t and γ_I lie on the pad, and what they cost. Pure functions: no page, no graph. */

export const GAMMA_MAX = 8;
/** Below 1: the useful region, up to about 4, gets two thirds of each side; 2.5 lies in the middle. */
const BEND = 0.6;

/** @typedef {{t: number, i: number}} Gamma  γ_t (prompt) and γ_I (subject), 0 to 8 */

/** @type {Readonly<Gamma>} */
export const DEFAULT = Object.freeze({ t: 2.5, i: 2.5 });

/**
 * What a model likes best, by the name that Load EchoGen has for it; of all others: DEFAULT.
 * @type {Readonly<Record<string, Gamma>>}
 */
export const MODEL_DEFAULTS = Object.freeze({ "nano (built in)": { t: 2.5, i: 2.5 } });

/** @type {Readonly<Record<string, Gamma>>} */
export const PRESETS = Object.freeze({
  balanced: { t: 2, i: 2 },
  more_subject: { t: 2, i: 4 },
  more_prompt: { t: 4, i: 2 },
  official: DEFAULT,
});

/** @param {number} value @returns {number} */
const clamp = (value) => Math.min(GAMMA_MAX, Math.max(0, value));

/**
 * A value on the widgets' grid of 0.05, or a coarser one.
 * @param {number} value @param {number} [step] @returns {number}
 */
export const snap = (value, step = 0.05) => Number(clamp(Math.round(value / step) * step).toFixed(2));

/** Share of a side, 0 to 1, at which a γ lies. @param {number} gamma @returns {number} */
export const toShare = (gamma) => (clamp(gamma) / GAMMA_MAX) ** BEND;

/** The γ at a share of a side; outside the pad it stays at its edge. @param {number} share @returns {number} */
export const toGamma = (share) => GAMMA_MAX * Math.min(1, Math.max(0, share)) ** (1 / BEND);

/**
 * γ under the pointer: coarse steps that keep to the diagonal when near it, or fine ones.
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
 * γ after an arrow key, one that is not known counted from the default; null for any other key.
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
  const [t, i] = [known(gamma.t, DEFAULT.t), known(gamma.i, DEFAULT.i)];
  return move ? { t: snap(t + move[0]), i: snap(i + move[1]) } : null;
}

const known = (/** @type {number} */ gamma, /** @type {number} */ otherwise) =>
  Number.isNaN(gamma) ? otherwise : gamma;

/** How many of the three branches weigh something. @param {Gamma} gamma @returns {number} */
export const branches = ({ t, i }) => [i, t - i, 1 - t].filter((weight) => weight !== 0).length;
