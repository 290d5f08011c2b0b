// @ts-check
/** Keeps what a prompt such as {cat|dog} came to in one run for the runs after it. No DOM, no graph. */

/** @typedef {{value: unknown, type: unknown, dynamic: boolean}} Written  what a widget holds before it is resolved */
/** @typedef {Record<string, {inputs: Record<string, any>}>} Output  a graph in API format, by execution id */

/** Widgets whose whole state is what a person typed or chose; others draw from a camera, a canvas or another node. */
const TYPED = "text string customtext number int float slider knob gradientslider combo toggle boolean".split(" ");
const PLAIN = ["string", "number", "boolean"];
const FILLED_IN = /%[^%]+%/; // as %date% or %node.widget%, computed anew for each run

/** The resolved values of one workflow. */
export class KeptValues {
  /** @type {Map<string, {value: unknown, sent: unknown}>} */
  #kept = new Map();

  /**
   * Replaces values that a widget made anew, though nobody edited it, by those of the first run.
   * @param {Output} output  changed in place
   * @param {(path: string, name: string) => Written | null} written  null: the input has no widget
   */
  apply(output, written) {
    for (const { inputs, name, key, widget } of widgetInputs(output, written)) {
      const kept = this.#kept.get(key);
      if (kept && Object.is(kept.value, widget.value)) inputs[name] = kept.sent;
      else this.#keep(key, widget, inputs[name]);
    }
  }

  /**
   * Keeps the values of a run that was queued as it is, such as one by the Run button.
   * @param {Output} output @param {(path: string, name: string) => Written | null} written
   */
  note(output, written) {
    for (const { inputs, name, key, widget } of widgetInputs(output, written)) this.#keep(key, widget, inputs[name]);
  }

  /** Forgets all values. */
  clear() {
    this.#kept.clear();
  }

  /** @param {string} key @param {Written} widget @param {unknown} sent */
  #keep(key, widget, sent) {
    if (isResolved(widget, sent)) this.#kept.set(key, { value: widget.value, sent });
    else this.#kept.delete(key);
  }
}

/** The inputs of a graph that widgets fill with plain values.
 *  @param {Output} output @param {(path: string, name: string) => Written | null} written */
function* widgetInputs(output, written) {
  for (const [path, { inputs }] of Object.entries(output)) {
    for (const [name, sent] of Object.entries(inputs ?? {})) {
      const widget = PLAIN.includes(typeof sent) ? written(path, name) : null;
      if (widget) yield { inputs, name, key: JSON.stringify([path, name]), widget };
    }
  }
}

/** Whether a widget sent something else than what it holds, of its own accord.
 *  @param {Written} widget @param {unknown} sent */
function isResolved({ value, type, dynamic }, sent) {
  if (typeof value !== typeof sent || Object.is(value, sent) || value === "") return false;
  if (dynamic) return true;
  return TYPED.includes(String(type).toLowerCase()) && !(typeof value === "string" && FILLED_IN.test(value));
}
