// @ts-check
/** Between the pad and the sampler's two float widgets, which alone hold the values. */

import { DEFAULT, MODEL_DEFAULTS, snap } from "./gamma_maths.js";

/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/** @typedef {{name: string, value: any, callback?: (value: any) => void}} Widget */
/** @typedef {{name: string, link?: number | null, widget?: {name: string}}} Slot */
/**
 * @typedef {object} SamplerNode
 * @property {number | string} [id]
 * @property {Widget[]} [widgets]
 * @property {Slot[]} [inputs]
 * @property {{id?: string}} [graph]
 * @property {Record<string, any>} [properties]  what the workflow file keeps of a node besides its widgets
 * @property {(slot: number) => SamplerNode | null} [getInputNode]
 * @property {(front: boolean, back?: boolean) => void} [setDirtyCanvas]
 */

const NAMES = Object.freeze({ t: "gamma_t", i: "gamma_i" });

export class GammaBridge {
  /** @param {SamplerNode} node */
  constructor(node) {
    this.node = node;
  }

  /** @returns {Gamma} */
  read() {
    return { t: Number(this.#widget("t")?.value), i: Number(this.#widget("i")?.value) };
  }

  /** Sets what is not locked, as if it had been typed. @param {Gamma} gamma */
  write(gamma) {
    const locked = this.locked();
    for (const axis of /** @type {const} */ (["t", "i"])) {
      const widget = this.#widget(axis);
      const value = snap(gamma[axis]);
      if (!widget || locked[axis] || widget.value === value) continue;
      widget.value = value;
      widget.callback?.(value);
    }
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Which γ comes over a wire, from its own socket or from a guidance schedule. */
  locked() {
    const linked = (/** @type {string} */ name) =>
      !!this.node.inputs?.some((slot) => (slot.widget?.name ?? slot.name) === name && slot.link != null);
    const scheduled = linked("guidance");
    return { t: scheduled || linked(NAMES.t), i: scheduled || linked(NAMES.i) };
  }

  /** Where a double click goes: what the wired model likes best, as far as its loader says which model it is. */
  home() {
    const slot = this.node.inputs?.findIndex(({ name }) => name === "model") ?? -1;
    const loader = slot < 0 ? null : this.node.getInputNode?.(slot);
    return MODEL_DEFAULTS[loader?.widgets?.find(({ name }) => name === "preset")?.value] ?? DEFAULT;
  }

  /** Changes exactly when the pad must be drawn anew. @returns {string} */
  state() {
    const { t, i } = this.read();
    const locked = this.locked();
    return `${t} ${i} ${locked.t} ${locked.i}`;
  }

  /** @param {"t" | "i"} axis */
  #widget(axis) {
    return this.node.widgets?.find((widget) => widget.name === NAMES[axis]);
  }
}
