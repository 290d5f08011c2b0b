// @ts-check
/** What a sweep has told so far, and which sampler takes a cell's γ. Pure functions: no page, no app. */

import { isRecord, listOf, own, textOf } from "./outside.js";

/** @typedef {{page: number, row: number, column: number, gamma_t: number, gamma_i: number,
 *   picture: Record<string, string>}} Cell */
/** @typedef {{title: string, set: Record<string, number>}} Page */
/** @typedef {{run: string, columns: number[], rows: number[], pages: Page[], cells: Cell[]}} Table */
/** @typedef {{id: number | string, pos: ArrayLike<number>, size: ArrayLike<number>}} Placed */

const MOST = 64; // values along each list, and pages; the node takes twelve
const LONGEST = 2000; // characters of a page's title, which may be a prompt

/**
 * A sweep as it was told, in a plain form, without the cells that are none; null for what is no sweep.
 * @param {unknown} told @returns {Table | null}
 */
export function readTable(told) {
  const [run, columns, rows] = [textOf(own(told, "run")), own(told, "columns"), own(told, "rows")];
  const pages = listOf(own(told, "pages")).map((page) => ({
    title: textOf(own(page, "title"), LONGEST),
    set: numbersOf(own(page, "set")),
  }));
  if (!run || !isAxis(columns) || !isAxis(rows) || pages.length > MOST) return null;
  const table = { run, columns, rows, pages, cells: [] };
  const cells = listOf(own(told, "cells")).map((cell) => readCell(cell, table));
  return { ...table, cells: cells.filter((cell) => cell !== null) };
}

/** @param {unknown} told @param {Table} table @returns {Cell | null} */
function readCell(told, { pages, rows, columns }) {
  const { page, row, column, gamma_t, gamma_i } = numbersOf(told);
  const inside = page in pages && row in rows && column in columns;
  if (!inside || gamma_t === undefined || gamma_i === undefined) return null;
  const picture = recordOf(own(told, "picture"), (value) => typeof value === "string");
  return { page, row, column, gamma_t, gamma_i, picture };
}

/** @param {unknown} value @returns {value is number[]} */
const isAxis = (value) => Array.isArray(value) && value.length <= MOST && value.every(Number.isFinite);

/** What a record has in numbers. @param {unknown} record @returns {Record<string, number>} */
const numbersOf = (record) => recordOf(record, Number.isFinite);

/** What a record has of a kind. @param {unknown} record @param {(value: unknown) => boolean} is
 *  @returns {Record<string, any>} */
const recordOf = (record, is) =>
  Object.fromEntries(Object.entries(isRecord(record) ? record : {}).filter(([, value]) => is(value)));

/**
 * A sweep with what was just told of it; a new run replaces the one before.
 * @param {Table | undefined} known @param {Table} told @returns {Table}
 */
export function merged(known, told) {
  if (known?.run !== told.run) return { ...told, cells: [...told.cells] };
  const has = new Set(known.cells.map(place));
  return { ...known, cells: [...known.cells, ...told.cells.filter((cell) => !has.has(place(cell)))] };
}

/** Where a cell lies, as a key. @param {{page: number, row: number, column: number}} cell */
export const place = ({ page, row, column }) => `${page} ${row} ${column}`;

/** Cells of a whole run. @param {Table} table */
export const total = ({ pages, rows, columns }) => pages.length * rows.length * columns.length;

/** What a cell puts into a sampler, by the names of its widgets. @param {Table} table @param {Cell} cell */
export const settings = (table, cell) => ({
  gamma_t: cell.gamma_t,
  gamma_i: cell.gamma_i,
  ...table.pages[cell.page].set,
});

/**
 * The last number of a node's address in a prompt, which names the subgraphs around it first: "12:5".
 * @param {unknown} node
 */
export const ownNumber = (node) => String(node).split(":").at(-1);

/**
 * The chosen one of several nodes, or the one whose middle is nearest.
 * @template {Placed} T
 * @param {T[]} nodes @param {Placed} from @param {unknown} chosen  a node's number
 * @returns {T | undefined}
 */
export function target(nodes, from, chosen) {
  const middle = (/** @type {Placed} */ { pos, size }) => [pos[0] + size[0] / 2, pos[1] + size[1] / 2];
  const [x, y] = middle(from);
  const distance = (/** @type {T} */ node) => Math.hypot(middle(node)[0] - x, middle(node)[1] - y);
  return (
    nodes.find(({ id }) => textOf(id) === textOf(chosen)) ?? [...nodes].sort((a, b) => distance(a) - distance(b))[0]
  );
}
