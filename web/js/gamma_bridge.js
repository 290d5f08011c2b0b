// @ts-check
/** Between the pad and the two float widgets that hold the values: the sampler's, or those that stand for them. */

import { DEFAULT, MODEL_DEFAULTS, snap } from "./gamma_maths.js";
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

  /** The values that count; NaN where only a run can tell. @returns {Gamma} */
  read() {
    const { t, i } = this.#sources();
    return { t: Number(t.value), i: Number(i.value) };
  }

  /** Sets what is not locked, as if it had been typed. @param {Gamma} gamma */
  write(gamma) {
    const sources = this.#sources();
    for (const axis of /** @type {const} */ (["t", "i"])) {
      const { widget } = sources[axis];
      const value = snap(gamma[axis]);
      if (!widget || widget.value === value) continue;
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
    return [...new Set([t, i].flatMap(({ holder }) => holder?.title ?? []))];
  }

  /** Where a double click goes: what the wired model likes best, as far as its loader says which model it is. */
  home() {
    const slot = this.node.inputs?.findIndex(({ name }) => name === "model") ?? -1;
    const loader = slot < 0 ? null : this.node.getInputNode?.(slot);
    return (loader && MODEL_DEFAULTS[sourceOf(loader, "preset").value]) ?? DEFAULT;
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
