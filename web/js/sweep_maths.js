// @ts-check
/** What a sweep has told so far, and which sampler takes a cell's γ. Pure functions: no page, no app. */

/** @typedef {{page: number, row: number, column: number, gamma_t: number, gamma_i: number,
 *   picture: Record<string, string>}} Cell */
/** @typedef {{title: string, set: Record<string, number>}} Page */
/** @typedef {{run: string, columns: number[], rows: number[], pages: Page[], cells: Cell[]}} Table */
/** @typedef {{id: number | string, pos: ArrayLike<number>, size: ArrayLike<number>}} Placed */

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
    nodes.find(({ id }) => String(id) === String(chosen)) ?? [...nodes].sort((a, b) => distance(a) - distance(b))[0]
  );
}
