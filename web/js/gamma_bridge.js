// @ts-check
/** Between the pad and the two float widgets that hold the values: the sampler's, or those that stand for them. */

import { DEFAULT, MODEL_DEFAULTS, snap } from "./gamma_maths.js";
import { numberOf, own, textOf } from "./outside.js";
import { sourceOf } from "./value_source.js";

/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/** @typedef {import("./value_source.js").GraphNode} GraphNode */
/** @typedef {import("./value_source.js").Source} Source */

/** @type {Readonly<Record<"t" | "i", string>>} */
const NAMES = Object.freeze({ t: "gamma_t", i: "gamma_i" });

/**
 * What counts for one of a sampler's settings; a guidance schedule sets both γ.
 * @param {GraphNode} node @param {string} name
 */
export function samplerSource(node, name) {
  const schedule = sourceOf(node, "guidance");
  return schedule.linked && Object.values(NAMES).includes(name) ? schedule : sourceOf(node, name);
}

export class GammaBridge {
  /** @param {GraphNode} node */
  constructor(node) {
    this.node = node;
  }

  /** The values that count; NaN where only a run can tell, and where what counts is no number. @returns {Gamma} */
  read() {
    const { t, i } = this.#sources();
    return { t: numberOf(t.value), i: numberOf(i.value) };
  }

  /** Sets what is not locked, as if it had been typed; nothing where no number is given. @param {Gamma} gamma */
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

  /** Which γ is not to be changed from here: it comes over a wire, or from a guidance schedule. */
  locked() {
    const { t, i } = this.#sources();
    return { t: !t.widget, i: !i.widget };
  }

  /** Titles of the other nodes that set γ. @returns {string[]} */
  holders() {
    const { t, i } = this.#sources();
    return [...new Set([t, i].map(({ holder }) => textOf(holder?.title)))].filter(Boolean);
  }

  /** Where a double click goes: what the wired model likes best, as far as its loader says which model it is. */
  home() {
    const slot = this.node.inputs?.findIndex((input) => input?.name === "model") ?? -1;
    const loader = slot < 0 ? null : this.node.getInputNode?.(slot);
    const preset = loader && textOf(sourceOf(loader, "preset").value);
    return /** @type {Gamma | undefined} */ (own(MODEL_DEFAULTS, preset ?? "")) ?? DEFAULT;
  }

  /** Changes exactly when the pad must be drawn anew. @returns {string} */
  state() {
    const [{ t, i }, locked] = [this.read(), this.locked()];
    return [t, i, locked.t, locked.i, ...this.holders()].join(" ");
  }

  /** @returns {{t: Source, i: Source}} */
  #sources() {
    return { t: samplerSource(this.node, NAMES.t), i: samplerSource(this.node, NAMES.i) };
  }
}
