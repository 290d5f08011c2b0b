import assert from "node:assert/strict";
import { test } from "node:test";
import { RunRecords } from "../../web/js/run_records.js";

/** A server's queue and history, with a record of what was asked for. */
function server(running, ended) {
  const asked = [];
  const read = async (address) => {
    asked.push(address);
    const run = address.split("/")[2];
    return run ? (ended[run] ? { [run]: { prompt: ended[run] } } : {}) : { queue_running: running };
  };
  return { asked, records: new RunRecords(read, undefined, [0, 0]) };
}

const entry = (run) => [1, run, { 3: { inputs: {} } }, {}];

/** What sessionStorage does. */
function storage(texts = {}) {
  return { texts, getItem: (name) => texts[name] ?? null, setItem: (name, text) => (texts[name] = text) };
}

const origin = (path) => ({ workflow: {}, path, samplers: { 3: ":3" }, works: { 3: "a1" } });

test("a run's graph is found in the queue while it is drawn, in the history once it has ended", async () => {
  const { records, asked } = server([entry("new")], { old: entry("old") });
  assert.deepEqual(await records.graph("new"), { 3: { inputs: {} } });
  assert.deepEqual(await records.graph("old"), { 3: { inputs: {} } });
  asked.length = 0;
  assert.equal(await records.graph("gone"), undefined);
  assert.equal(asked.length, 4, "asked for again, then given up");
});

test("an answer that can't be read is asked for again, and harms nothing", async () => {
  let bad = 1;
  const { records } = server([entry("new")], {});
  const { read } = records;
  records.read = async (address) => {
    if (bad-- > 0) throw new SyntaxError("Unexpected token '<'");
    return read(address);
  };
  assert.deepEqual(await records.graph("new"), { 3: { inputs: {} } });
  records.read = async () => Promise.reject(new Error("502"));
  assert.equal(await records.graph("other"), undefined, "no rejection reaches those who asked");
});

test("runs of this page are known by where they come from, even when spoken of before their id has come", async () => {
  const { records, asked } = server([], {});
  const mine = origin("a.json");
  let answer;
  records.queued(new Promise((done) => (answer = done)), mine);
  const early = records.origin("new");
  answer({ prompt_id: "new" });
  assert.equal(await early, mine);
  assert.equal(await records.origin("elsewhere"), undefined);
  records.queued(Promise.reject(new Error("refused")), mine);
  assert.equal(await records.origin("new"), mine, "a refusal harms nothing");
  assert.deepEqual(asked, []);
});

test("a press of Run that queues a hundred runs forgets none of them", async () => {
  const records = new RunRecords(async () => null, storage());
  for (let run = 0; run < 100; run++) records.queued(Promise.resolve({ prompt_id: `run${run}` }), origin("a.json"));
  assert.ok(await records.origin("run0"));
  for (let run = 100; run < 2000; run++) records.queued(Promise.resolve({ prompt_id: `run${run}` }), origin("a.json"));
  assert.ok(await records.origin("run1999"));
  assert.ok(records.origins.size <= 1000);
});

test("a reloaded page knows its runs by their workflow's path; another page knows none of them", async () => {
  const kept = storage();
  const before = new RunRecords(async () => null, kept);
  before.queued(Promise.resolve({ prompt_id: "mine" }), origin("a.json"));
  await before.origin("mine");
  const reloaded = new RunRecords(async () => null, kept);
  assert.deepEqual(await reloaded.origin("mine"), { ...origin("a.json"), workflow: undefined });
  reloaded.queued(Promise.resolve({ prompt_id: "next" }), origin("b.json"));
  await reloaded.origin("next");
  assert.ok(await new RunRecords(async () => null, kept).origin("mine"), "also after a second reload");
  assert.equal(await new RunRecords(async () => null, storage()).origin("mine"), undefined);
});

test("a storage that is blocked, full or written by something else costs only what it would remember", async (t) => {
  t.mock.method(console, "warn", () => {});
  const blocked = () => {
    throw new Error("denied");
  };
  for (const text of ["", "{", "5", "null", "[[]]", '[["a"]]', '[["a","b",5]]', '[[1,"b",{}]]', '{"a":1}', '{"page":"","runs":[[1]]}']) {
    const records = new RunRecords(async () => null, { getItem: () => text, setItem: blocked });
    assert.equal(await records.origin("a"), undefined, text);
    records.queued(Promise.resolve({ prompt_id: "new" }), origin("a.json"));
    assert.ok(await records.origin("new"), text);
  }
  for (const none of [undefined, { getItem: blocked, setItem: blocked }]) {
    const records = new RunRecords(async () => null, none);
    records.queued(Promise.resolve({ prompt_id: "new" }), origin("a.json"));
    assert.ok(await records.origin("new"));
  }
});

test("answers of another form tell nothing, and stop nothing", async () => {
  for (const answer of [
    null,
    5,
    "x",
    [],
    { queue_running: 5 },
    { queue_running: [null, 5, {}] },
    { new: { prompt: 5 } },
  ]) {
    const records = new RunRecords(async () => answer, undefined, [0]);
    assert.equal(await records.graph("new"), undefined);
    for (const told of [undefined, 5, Promise.resolve(undefined), Promise.resolve({})]) records.queued(told, origin(""));
    assert.equal(await records.origin("new"), undefined);
  }
});

test("a run's id asks for that run alone, whatever is in it", async () => {
  const { records, asked } = server([], {});
  await records.graph("../view?a#b");
  assert.ok(asked.includes("/history/..%2Fview%3Fa%23b"), asked.join());
});

test("a duplicated tab, which has a copy of the storage, claims none of the first one's runs", async () => {
  const kept = storage();
  const first = new RunRecords(async () => null, kept, [0], () => "one");
  first.queued(Promise.resolve({ prompt_id: "mine" }), origin("a.json"));
  await first.origin("mine");
  const copy = new RunRecords(async () => null, storage({ ...kept.texts }), [0], () => "");
  assert.equal(await copy.origin("mine"), undefined);
  const reloaded = new RunRecords(async () => null, kept, [0], () => "one");
  assert.equal((await reloaded.origin("mine")).path, "a.json");
});
