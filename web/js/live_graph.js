// @ts-check
/** The part of a graph that a Live run draws: what shows the sampler's picture, and nothing that writes a file. */

import { isRecord, listOf } from "./plain_values.js";

/** @typedef {Record<string, {class_type: string, inputs?: Record<string, any>}>} Output  a graph in API format */
/**
 * What the server says of a class of nodes, as /object_info has it.
 * @typedef {{output_node?: boolean, display_name?: string, input?: Record<string, any>, output?: unknown}} Kind
 */

const PREVIEW = "PreviewImage";
const WRITES = /save|export|upload|write/i; // in the names of nodes that write files
const FILE_INPUT = "filename_prefix";

/**
 * The same graph with previews in place of nodes that would save the samplers' pictures, and the ids of the nodes that
 * show these pictures: no ids if none does.
 * @param {Output} output  is not changed
 * @param {string[]} samplers  execution ids
 * @param {(type: string) => Kind | undefined} kindOf
 * @returns {{output: Output, targets: string[]}}
 */
export function livePart(output, samplers, kindOf) {
  const live = { ...output };
  const ends = [...behind(output, samplers)].filter((id) => kindOf(output[id].class_type)?.output_node === true);
  const writers = ends.filter((id) => writes(output[id].class_type, kindOf));
  const afterWriters = behind(output, writers);
  const targets = ends.filter((id) => {
    if (afterWriters.has(id)) return false; // or it would run the writer
    if (!writers.includes(id)) return true;
    const picture = Object.values(output[id].inputs ?? {}).find((link) => isPicture(link, output, kindOf));
    if (picture) live[id] = { ...output[id], class_type: PREVIEW, inputs: { images: picture } };
    return Boolean(picture);
  });
  return { output: live, targets };
}

/** The nodes that depend on some others, without those. @param {Output} output @param {string[]} origins */
function behind(output, origins) {
  /** @type {Set<string>} */
  const found = new Set();
  const nodes = Object.entries(output);
  for (const known = new Set(origins), queue = [...origins]; queue.length; ) {
    const origin = queue.pop();
    for (const [id, { inputs }] of nodes) {
      if (known.has(id) || !Object.values(inputs ?? {}).some((link) => originOf(link) === origin)) continue;
      known.add(id);
      found.add(id);
      queue.push(id);
    }
  }
  return found;
}

/** The node that a connected input comes from; "" for a plain value. @param {unknown} link */
const originOf = (link) => (Array.isArray(link) && typeof link[1] === "number" ? String(link[0]) : "");

/** @param {string} type @param {(type: string) => Kind | undefined} kindOf */
function writes(type, kindOf) {
  const { display_name = "", input = {} } = kindOf(type) ?? {};
  const named = Object.values(input).some((inputs) => isRecord(inputs) && FILE_INPUT in inputs);
  return named || WRITES.test(type) || WRITES.test(display_name);
}

/** @param {unknown} link @param {Output} output @param {(type: string) => Kind | undefined} kindOf */
function isPicture(link, output, kindOf) {
  const origin = output[originOf(link)];
  return origin !== undefined && listOf(kindOf(origin.class_type)?.output)[listOf(link)[1]] === "IMAGE";
}
