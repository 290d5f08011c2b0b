// @ts-check
/** Connects the pad to the two float widgets that hold γ: the sampler's own, or those that replace them. */

import { DEFAULT, PRESETS, snap } from "./gamma_maths.js";
import { numberOf, textOf } from "./plain_values.js";
import { sourceOf } from "./value_source.js";
import { drawsMore, hintsOf, modelOf } from "./wired_model.js";

/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/** @typedef {import("./value_source.js").GraphNode} GraphNode */
/** @typedef {import("./value_source.js").Source} Source */

/** @type {Readonly<Record<"t" | "i", string>>} */
const NAMES = Object.freeze({ t: "gamma_t", i: "gamma_i" });

/**
 * The source of one of a sampler's settings; a guidance schedule sets both γ.
 * @param {GraphNode} node @param {string} name
 */
export function samplerSource(node, name) {
  const schedule = sourceOf(node, "guidance");
  return schedule.connected && Object.values(NAMES).includes(name) ? schedule : sourceOf(node, name);
}

/** Reads and writes γ_t and γ_I of one sampler. */
export class GammaBridge {
  /** @param {GraphNode} node */
  constructor(node) {
    this.node = node;
  }

  /** The effective values; NaN where only a run can tell, and for anything but a number. @returns {Gamma} */
  read() {
    const { t, i } = this.#sources();
    return { t: numberOf(t.value), i: numberOf(i.value) };
  }

  /** Sets the values that are not locked, as if typed; NaN is skipped. @param {Gamma} gamma */
  write(gamma) {
    const sources = this.#sources();
    for (const axis of /** @type {const} */ (["t", "i"])) {
      const { widget } = sources[axis];
      const value = snap(gamma[axis]);
      if (!widget || widget.value === value || Number.isNaN(value)) continue;
      widget.value = value;
      widget.callback?.(value);
    }
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Which γ can't be changed here, because a connected input or a guidance schedule sets it. */
  locked() {
    const { t, i } = this.#sources();
    return { t: !t.widget, i: !i.widget };
  }

  /** Titles of the other nodes that set γ. @returns {string[]} */
  providers() {
    const { t, i } = this.#sources();
    return [...new Set([t, i].map(({ provider }) => textOf(provider?.title)))].filter(Boolean);
  }

  /** The default of the connected model, as far as its loader names it; a double click sets it. */
  modelDefault() {
    return modelOf(this.node)?.gamma ?? DEFAULT;
  }

  /** The presets of the connected model, by the keys of their names. */
  presets() {
    return modelOf(this.node)?.presets ?? PRESETS;
  }

  /** Keys of the texts that say what is without effect because it isn't connected. */
  hints() {
    return hintsOf(this.node);
  }

  /** Key of the text that says what values cost where a branch has no weight. */
  cheapness() {
    return drawsMore(this.node) ? "cheaper" : "fast";
  }

  /** Changes exactly when the pad must be redrawn. @returns {string} */
  state() {
    const [{ t, i }, locked] = [this.read(), this.locked()];
    const texts = [this.cheapness(), ...this.providers(), ...this.hints()];
    return [t, i, locked.t, locked.i, ...texts, JSON.stringify(this.presets())].join(" ");
  }

  /** @returns {{t: Source, i: Source}} */
  #sources() {
    return { t: samplerSource(this.node, NAMES.t), i: samplerSource(this.node, NAMES.i) };
  }
}
