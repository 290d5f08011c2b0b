// @ts-check
/** The cells of a sweep that have arrived, and which sampler a click sets. Pure functions without DOM. */

import { exactNumber, isRecord, listOf, ownProperty, textOf } from "./plain_values.js";

/** @typedef {{page: number, row: number, column: number, gamma_t: number, gamma_i: number,
 *   picture: Record<string, string>}} Cell */
/** @typedef {{title: string, set: Record<string, number | string>}} Page  a text: a number too long for JavaScript */
/** @typedef {{run: string, columns: number[], rows: number[], pages: Page[], cells: Cell[]}} Table */
/** @typedef {{id: number | string, pos: ArrayLike<number>, size: ArrayLike<number>}} Placed */

const MAX_LENGTH = 64; // values in each list, and pages; the node allows twelve
const MAX_TITLE = 2000; // characters of a page's title, which may be a prompt

/**
 * A sweep from the server, checked, without invalid cells; null if it is not a sweep.
 * @param {unknown} data @returns {Table | null}
 */
export function readTable(data) {
  const run = textOf(ownProperty(data, "run"));
  const [columns, rows] = [ownProperty(data, "columns"), ownProperty(data, "rows")];
  const pages = listOf(ownProperty(data, "pages")).map((page) => ({
    title: textOf(ownProperty(page, "title"), MAX_TITLE),
    set: settingsOf(ownProperty(page, "set")),
  }));
  if (!run || !isAxis(columns) || !isAxis(rows) || pages.length > MAX_LENGTH) return null;
  const table = { run, columns, rows, pages, cells: [] };
  const cells = listOf(ownProperty(data, "cells")).map((cell) => readCell(cell, table));
  return { ...table, cells: cells.filter((cell) => cell !== null) };
}

/** @param {unknown} data @param {Table} table @returns {Cell | null} */
function readCell(data, { pages, rows, columns }) {
  const { page, row, column, gamma_t, gamma_i } = numbersOf(data);
  const inside = page in pages && row in rows && column in columns;
  if (!inside || gamma_t === undefined || gamma_i === undefined) return null;
  const picture = recordOf(ownProperty(data, "picture"), (value) => typeof value === "string");
  return { page, row, column, gamma_t, gamma_i, picture };
}

/** @param {unknown} value @returns {value is number[]} */
const isAxis = (value) => Array.isArray(value) && value.length <= MAX_LENGTH && value.every(Number.isFinite);

/** A record's numbers. @param {unknown} record @returns {Record<string, number>} */
const numbersOf = (record) => recordOf(record, Number.isFinite);

/** What a page sets; a long seed comes as a text, and is a number if JavaScript's hold it exactly.
 *  @param {unknown} record @returns {Page["set"]} */
const settingsOf = (record) => recordOf(record, (value) => !Number.isNaN(value), exactNumber);

/** A record's entries, as `read` reads them, that pass a test.
 *  @param {unknown} record @param {(value: unknown) => boolean} is @param {(value: unknown) => unknown} [read]
 *  @returns {Record<string, any>} */
function recordOf(record, is, read = (value) => value) {
  const entries = Object.entries(isRecord(record) ? record : {}).map(([name, value]) => [name, read(value)]);
  return Object.fromEntries(entries.filter(([, value]) => is(value)));
}

/**
 * A sweep with the cells that just arrived; a new run replaces the previous one.
 * @param {Table | undefined} known @param {Table} data @returns {Table}
 */
export function merged(known, data) {
  if (known?.run !== data.run) return { ...data, cells: [...data.cells] };
  const has = new Set(known.cells.map(place));
  return { ...known, cells: [...known.cells, ...data.cells.filter((cell) => !has.has(place(cell)))] };
}

/** A cell's position as a key. @param {{page: number, row: number, column: number}} cell */
export const place = ({ page, row, column }) => `${page} ${row} ${column}`;

/** Number of cells in a complete run. @param {Table} table */
export const total = ({ pages, rows, columns }) => pages.length * rows.length * columns.length;

/** The values that a cell sets on a sampler, by widget name. @param {Table} table @param {Cell} cell */
export const settings = (table, cell) => ({
  gamma_t: cell.gamma_t,
  gamma_i: cell.gamma_i,
  ...table.pages[cell.page].set,
});

/**
 * A node's own id, the last part of its execution id, which starts with the enclosing subgraphs: "12:5".
 * @param {unknown} node
 */
export const ownNumber = (node) => String(node).split(":").at(-1);

/**
 * The chosen one of several nodes, or the one whose centre is nearest.
 * @template {Placed} T
 * @param {T[]} nodes @param {Placed} from @param {unknown} chosen  a node's id
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
