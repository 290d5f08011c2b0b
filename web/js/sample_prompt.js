// @ts-check
/** Notes prompts that still name a sample after Reference Picture shows another picture. No DOM. */

import { textOf } from "./plain_values.js";
import { nodesBeside, sourceOf } from "./value_source.js";

/** @typedef {import("./value_source.js").GraphNode} GraphNode */

/** The subjects of the pack's pictures, by file name. @type {ReadonlyMap<unknown, string>} */
export const SAMPLES = new Map([
  ["cup_cake.png", "cup cake"],
  ["siamese_cat.png", "siamese cat"],
  ["teddy_bear.png", "teddy bear"],
]);
/** The inputs that hold prompts, by type of node. @type {ReadonlyMap<unknown, string>} */
const PROMPTS = new Map([
  ["EchoGenEncodeText", "prompt"],
  ["EchoGenGammaSweep", "values"],
]);
const PAINTED = /^clipspace\//; // the mask editor's copy of the same picture

/** What was shown before, and is named still. */
export class SamplePrompt {
  constructor() {
    /** The picture of the last call. @type {unknown} */
    this.picture = undefined;
    /** Samples that another picture has replaced. @type {Set<unknown>} */
    this.replaced = new Set();
  }

  /** The subject of a replaced sample that a prompt of the workflow still names; "" for none.
   *  @param {GraphNode} node  a Reference Picture @returns {string} */
  outlived(node) {
    const picture = node.widgets?.find(({ name }) => name === "picture")?.value;
    if (picture !== this.picture && !PAINTED.test(textOf(picture))) {
      if (SAMPLES.has(this.picture)) this.replaced.add(this.picture);
      this.replaced.delete(picture);
      this.picture = picture;
    }
    if (!this.replaced.size) return "";
    const prompts = promptsBeside(node);
    const subjects = [...this.replaced].map((name) => SAMPLES.get(name) ?? "");
    return subjects.find((subject) => prompts.some((prompt) => names(prompt, subject))) ?? "";
  }
}

/** Whether a prompt names a subject, however its words are joined. @param {string} prompt @param {string} subject */
const names = (prompt, subject) => new RegExp(`\\b${subject.replace(" ", "[\\s-]*")}s?\\b`, "i").test(prompt);

/** All prompts of a node's workflow. @param {GraphNode} node @returns {string[]} */
function promptsBeside(node) {
  return nodesBeside(node).flatMap((other) => {
    const name = PROMPTS.get(other.type);
    return name ? [textOf(sourceOf(other, name).value, Infinity)] : [];
  });
}
