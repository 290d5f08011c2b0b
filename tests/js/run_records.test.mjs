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
  return { asked, records: new RunRecords(read, [0, 0]) };
}

const entry = (run, id) => [1, run, { 3: { inputs: {} } }, { extra_pnginfo: id ? { workflow: { id } } : undefined }];

test("a run that is drawn is found in the queue, one that has ended in the history", async () => {
  const { records } = server([entry("new", "mine")], { old: entry("old", "theirs") });
  assert.deepEqual(await records.graph("new"), { 3: { inputs: {} } });
  assert.equal(await records.workflowId("new"), "mine");
  assert.equal(await records.workflowId("old"), "theirs");
});

test("a run is asked for once", async () => {
  const { records, asked } = server([entry("new", "mine")], {});
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => records.workflowId("new"))), ["mine", "mine", "mine"]);
  assert.deepEqual(asked, ["/queue"]);
});

test("runs of programs come from no workflow; unknown ones are asked for again, then given up", async () => {
  const { records, asked } = server([entry("program", null)], {});
  assert.equal(await records.workflowId("program"), undefined);
  assert.equal(await records.graph("gone"), undefined);
  assert.equal(asked.length, 5);
});

test("an answer that cannot be read is asked for again, and harms nothing", async () => {
  let bad = 1;
  const { records } = server([entry("new", "mine")], {});
  const { read } = records;
  records.read = async (address) => {
    if (bad-- > 0) throw new SyntaxError("Unexpected token '<'");
    return read(address);
  };
  assert.equal(await records.workflowId("new"), "mine");
});

test("what was not found is not remembered: it is found as soon as the server tells", async () => {
  const ended = {};
  const { records } = server([], ended);
  assert.equal(await records.workflowId("late"), undefined);
  ended.late = entry("late", "mine");
  assert.equal(await records.workflowId("late"), "mine");
  records.read = async () => Promise.reject(new Error("502"));
  assert.equal(await records.workflowId("other"), undefined, "no rejection reaches those who asked");
});

test("runs of this page are known by their workflow, even when spoken of before their id has come", async () => {
  const { records, asked } = server([], {});
  const workflow = {};
  let answer;
  records.queued(new Promise((done) => (answer = done)), workflow);
  const early = records.localWorkflow("new");
  answer({ prompt_id: "new" });
  assert.equal(await early, workflow);
  assert.equal(await records.localWorkflow("elsewhere"), undefined);
  records.queued(Promise.reject(new Error("refused")), workflow);
  assert.equal(await records.localWorkflow("new"), workflow, "a refusal harms nothing");
  assert.deepEqual(asked, []);
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
    const records = new RunRecords(async () => answer, [0]);
    assert.equal(await records.workflowId("new"), undefined);
    assert.equal(await records.graph("new"), undefined);
    for (const told of [undefined, 5, Promise.resolve(undefined), Promise.resolve({})]) records.queued(told, {});
    assert.equal(await records.localWorkflow("new"), undefined);
  }
});

test("a run's id asks for that run alone, whatever is in it", async () => {
  const { records, asked } = server([], {});
  await records.graph("../view?a#b");
  assert.ok(asked.includes("/history/..%2Fview%3Fa%23b"), asked.join());
});
