import assert from "node:assert/strict";
import { test } from "node:test";
import { merged, ownNumber, readTable, settings, target, total } from "../../web/js/sweep_maths.js";
import { HOSTILE, soon } from "./hostile.mjs";

const pages = [{ title: "seed 3", set: { seed: 3 } }, { title: "seed 9", set: { seed: 9 } }];
const cell = (page, row, column) => ({ page, row, column, gamma_t: column + 1, gamma_i: 4 - row, picture: {} });
const told = (run, ...cells) => ({ run, columns: [1, 2], rows: [4, 3], pages, cells });

test("cells gather, and a cell told twice counts once", () => {
  const first = merged(undefined, told("a"));
  assert.equal(first.cells.length, 0);
  const second = merged(merged(first, told("a", cell(0, 0, 0))), told("a", cell(0, 0, 0), cell(0, 0, 1)));
  assert.equal(second.cells.length, 2);
  assert.equal(total(second), 8);
});

test("a new run replaces the one before", () => {
  const before = merged(undefined, told("a", cell(0, 0, 0)));
  assert.deepEqual(merged(before, told("b")).cells, []);
});

test("a cell brings its γ and what its page varies", () => {
  assert.deepEqual(settings(told("a"), cell(1, 1, 0)), { gamma_t: 1, gamma_i: 3, seed: 9 });
});

test("a seed that JavaScript's numbers can't hold stays a text; any other is a number", () => {
  const seeds = ["18446744073709551615", "9007199254740994", 7, "x", null];
  const { pages } = readTable({ run: "a", columns: [1], rows: [1], pages: seeds.map((seed) => ({ set: { seed } })), cells: [] });
  assert.deepEqual(
    pages.map(({ set }) => set.seed),
    ["18446744073709551615", 9007199254740994, 7, undefined, undefined],
  );
});

test("a node inside subgraphs is known by its own number", () => {
  assert.equal(ownNumber("12:7:5"), "5");
  assert.equal(ownNumber(5), "5");
});

test("the chosen sampler, or the nearest", () => {
  const at = (id, x) => ({ id, pos: [x, 0], size: [100, 100] });
  const nodes = [at(1, 900), at(2, 300)];
  assert.equal(target(nodes, at(9, 0), undefined).id, 2);
  assert.equal(target(nodes, at(9, 0), "1").id, 1);
  assert.equal(target(nodes, at(9, 0), "77").id, 2, "a chosen one that is gone");
  assert.equal(target([], at(9, 0), "1"), undefined);
});

test("what is told of a sweep is read in a plain form, without what is none", () => {
  const cell = { page: 0, row: 0, column: 1, gamma_t: 2, gamma_i: 3, picture: { filename: "a.png", type: "temp" } };
  const told = { run: "r", columns: [1, 2], rows: [3], pages: [{ title: "tau 1", set: { tau: 1 } }], cells: [cell] };
  assert.deepEqual(readTable(told), told);
  soon(() => {
    for (const value of HOSTILE) {
      readTable(value);
      for (const name of Object.keys(told)) {
        const table = readTable({ ...told, [name]: value });
        if (table) assert.ok([...table.columns, ...table.rows, ...table.pages.flatMap(({ set }) => Object.values(set))].every(Number.isFinite));
      }
      for (const name of Object.keys(cell)) {
        const { cells } = readTable({ ...told, cells: [value, { ...cell, [name]: value }, cell] });
        assert.deepEqual(cells.at(-1), cell);
        for (const { page, row, column, gamma_t, gamma_i } of cells) {
          assert.ok(page === 0 && row === 0 && [0, 1].includes(column) && Number.isFinite(gamma_t + gamma_i));
        }
      }
    }
  });
});

test("a choice of any kind leaves the nearest", () => {
  const nodes = [{ id: 1, pos: [0, 0], size: [1, 1] }, { id: 2, pos: [9, 9], size: [1, 1] }];
  for (const value of HOSTILE) assert.equal(target(nodes, nodes[1], value).id, 2);
  assert.equal(target(nodes, nodes[1], "1").id, 1);
});
