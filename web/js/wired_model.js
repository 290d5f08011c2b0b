// @ts-check
/** What a sampler's wires tell before a run: the model with its own values, and what has no effect. No DOM. */

import { NANO_PRESETS, PRESETS } from "./gamma_maths.js";
import { numberOf, ownProperty, textOf } from "./plain_values.js";
import { nodesBeside, sourceOf } from "./value_source.js";

/** @typedef {import("./value_source.js").GraphNode} GraphNode */
/** @typedef {import("./gamma_maths.js").Gamma} Gamma */
/** @typedef {{gamma: Gamma, presets: Readonly<Record<string, Gamma>>, tau: number, top_p: number,
 *   sides: readonly number[]}} Model  its defaults; sides: of the scales' grids in tokens */

const LADDER = Object.freeze([1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64]); // of a square picture of 1M
/** Options of the sampler's size -> number of scales. @type {Readonly<Record<string, number>>} */
const SIZES = Object.freeze({ "0.06M": 7, "0.25M": 10, "0.60M": 12, "1M": 13 });
const OFFICIAL = { gamma: { t: 2.5, i: 2.5 }, presets: PRESETS, tau: 2, top_p: 0.97 };

/** Models by their names in Load EchoGen, as in echogen_core/config.py. @type {Readonly<Record<string, Model>>} */
export const MODELS = Object.freeze({
  "nano (built in)": {
    gamma: { t: 2.5, i: 2.5 },
    presets: NANO_PRESETS,
    tau: 0.5,
    top_p: 0.97,
    sides: [1, 2, 4, 8, 16],
  },
  "EchoGen-2B": { ...OFFICIAL, sides: LADDER },
  "EchoGen-0.1B": { ...OFFICIAL, sides: LADDER.slice(0, SIZES["0.06M"]) },
});

/** The model that is connected to a node, as far as its loader names it. @param {GraphNode} node */
export function modelOf(node) {
  const { provider } = sourceOf(node, "model");
  const name = provider && textOf(sourceOf(provider, "preset").value);
  return /** @type {Model | undefined} */ (ownProperty(MODELS, name ?? ""));
}

/** Sides of the grids that a sampler draws, for a square picture; undefined if that can't be told. An edit sets the size.
 *  @param {GraphNode} sampler */
export function sidesOf(sampler) {
  const edit = sourceOf(sampler, "edit").provider;
  const sized = edit?.type === "EchoGenEditPicture" ? edit : sampler;
  const scales = /** @type {number | undefined} */ (ownProperty(SIZES, textOf(sourceOf(sized, "size").value)));
  return scales ? LADDER.slice(0, scales) : modelOf(sampler)?.sides;
}

/** As `sidesOf`, for the samplers that a guidance schedule is connected to; those of 1M if they differ, or there are
 *  none. @param {GraphNode} schedule */
export function sidesUnder(schedule) {
  const samplers = nodesBeside(schedule).filter(({ type }) => type === "EchoGenSampler");
  const wired = samplers.filter((sampler) => sourceOf(sampler, "guidance").provider === schedule);
  const sides = new Map(wired.map((sampler) => [String(sidesOf(sampler)), sidesOf(sampler)]));
  return (sides.size === 1 && [...sides.values()][0]) || LADDER;
}

/** Keys of the texts that say what is without effect because it isn't connected. Regions may bring prompts and subjects
 *  of their own, so with them γ always counts. @param {GraphNode} sampler */
export function hintsOf(sampler) {
  const wired = (/** @type {string} */ name) => sourceOf(sampler, name).connected;
  const [semantic, content, regions] = ["semantic", "content", "regions"].map(wired);
  const [prompt, subject] = [wired("text") || wired("negative"), semantic || content];
  return [
    !regions && !prompt && !subject && "no_prompt_no_subject",
    !regions && prompt && !subject && "no_subject",
    !regions && !prompt && subject && "no_prompt",
    subject && !semantic && "no_semantic",
    subject && !content && "no_content",
    !wired("tokenizer") && "no_tokenizer",
  ].filter((key) => typeof key === "string");
}

/** Whether a sampler draws more than a plain picture, so that its passes aren't γ's alone. @param {GraphNode} sampler */
export function drawsMore(sampler) {
  return ["edit", "regions"].some((name) => sourceOf(sampler, name).connected);
}

/** What a setting of 0 stands for: the model's own number, NaN if the model isn't known; undefined for other values and
 *  settings. @param {GraphNode} node @param {string} name */
export function ownValue(node, name) {
  const { widget, value } = sourceOf(node, name);
  if (!["tau", "top_p"].includes(name) || !widget || numberOf(value) !== 0) return undefined;
  return numberOf(ownProperty(modelOf(node), name));
}
