import assert from "node:assert/strict";
import { test } from "node:test";
import { Sessions } from "../../web/js/sessions.js";

/** Sessions whose server queues, deletes and interrupts by record. */
function made(queue = { queue_running: [], queue_pending: [] }) {
  const told = { read: 0, dropped: [], queue };
  let count = 0;
  const runs = () => ({
    inView: () => true,
    queue: async () => {
      const id = `run${++count}`;
      told.queue.queue_pending.push([count, id]);
      return id;
    },
    drop: async (id) => told.dropped.push(id),
    interrupt: async () => {},
  });
  const read = async (address) => {
    assert.equal(address, "/queue");
    told.read += 1;
    if (told.queue instanceof Error) throw told.queue;
    return structuredClone(told.queue);
  };
  return { told, sessions: new Sessions(runs, read) };
}

test("each workflow has its own strips and Live runs, which outlive its being shown", async () => {
  const { sessions, told } = made();
  const [one, two] = [{}, {}];
  assert.equal(sessions.of(one).sampler(":3").strip, sessions.of(one).sampler(":3").strip);
  assert.notEqual(sessions.of(one).sampler(":3").strip, sessions.of(two).sampler(":3").strip);
  await sessions.of(one).live.request(":3", true);
  await sessions.of(two).live.request(":3", true);
  assert.deepEqual(told.dropped, [], "a Live run of another workflow is not replaced");
  assert.deepEqual([sessions.of(one), sessions.of(two)].map(({ live }) => live.phase(":3")), ["waiting", "waiting"]);
});

test("a closed workflow's Live run is withdrawn, the others' goes on", async () => {
  const { sessions, told } = made();
  const [one, two] = [{}, {}];
  await sessions.of(one).live.request(":3", true);
  await sessions.of(two).live.request(":3", true);
  sessions.prune((workflow) => workflow === two);
  assert.deepEqual(told.dropped, ["run1"]);
  assert.deepEqual([...sessions.all.keys()], [two]);
});

test("runs that left the server's queue are over; events in a burst cost two readings", async () => {
  const { sessions, told } = made();
  const { live } = sessions.of({});
  await sessions.reconcile();
  assert.equal(told.read, 0, "nothing to ask for");
  await live.request(":3", true);
  await Promise.all([1, 2, 3, 4, 5].map(() => sessions.reconcile()));
  assert.equal(live.phase(":3"), "waiting");
  assert.ok(told.read <= 2, String(told.read));
  told.queue.queue_pending = [];
  await sessions.reconcile();
  assert.equal(live.phase(":3"), "idle");
});

test("answers of another form, and none, change nothing", async () => {
  for (const queue of [null, 5, [], {}, { queue_running: [] }, { queue_running: 1, queue_pending: 2 }, new Error("502")]) {
    const { sessions, told } = made();
    const { live } = sessions.of({});
    await live.request(":3", true);
    told.queue = queue;
    await sessions.reconcile();
    assert.equal(live.phase(":3"), "waiting");
    told.queue = { queue_running: [null, 7], queue_pending: [[]] };
    await sessions.reconcile();
    assert.equal(live.phase(":3"), "idle", "and it is asked again");
  }
});

test("a lost connection is known in every workflow, also in those opened meanwhile", () => {
  const { sessions } = made();
  sessions.of(1);
  sessions.connection(false);
  assert.deepEqual([1, 2].map((workflow) => sessions.of(workflow).live.phase(":3")), ["offline", "offline"]);
  sessions.connection(true);
  assert.deepEqual([1, 2].map((workflow) => sessions.of(workflow).live.phase(":3")), ["idle", "idle"]);
});

test("a Live run from before a reload is replaced by the next one, unless it is over", async () => {
  for (const over of [false, true]) {
    const { sessions, told } = made();
    sessions.liveBefore = () => ({ run: "before", live: ":3" });
    if (!over) told.queue.queue_pending.push([1, "before"]);
    const { live } = sessions.of({});
    await sessions.reconcile();
    assert.equal(live.phase(":3"), over ? "idle" : "waiting");
    await live.request(":3", true);
    assert.deepEqual(told.dropped, over ? [] : ["before"]);
  }
});
