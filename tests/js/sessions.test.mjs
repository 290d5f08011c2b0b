import assert from "node:assert/strict";
import { test } from "node:test";
import { Unreachable } from "../../web/js/live_queue.js";
import { Sessions } from "../../web/js/sessions.js";

/** Sessions whose server queues, deletes and interrupts by record. */
function made(queue = { queue_running: [], queue_pending: [] }) {
  const told = { read: 0, dropped: [], queue };
  let count = 0;
  const runs = () => ({
    inView: () => true,
    queue: async () => {
      if (told.away) throw new Unreachable("Failed to fetch");
      const id = `run${++count}`;
      told.queue.queue_pending.push([count, id]);
      return id;
    },
    drop: async (id) => told.dropped.push(id),
    interrupt: async () => {},
    forget: async () => {},
  });
  const read = async (address) => {
    assert.equal(address, "/queue");
    told.read += 1;
    if (told.queue instanceof Error) throw told.queue;
    return structuredClone(told.queue);
  };
  return { told, sessions: new Sessions(runs, read, [1]) };
}

test("each workflow has its own strips and Live runs, which outlive its being shown", async () => {
  const { sessions, told } = made();
  const [one, two] = [{}, {}];
  assert.equal(sessions.of(one).strip(":3"), sessions.of(one).strip(":3"));
  assert.notEqual(sessions.of(one).strip(":3"), sessions.of(two).strip(":3"));
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
  sessions.lost();
  assert.deepEqual([1, 2].map((workflow) => sessions.of(workflow).live.phase(":3")), ["offline", "offline"]);
  sessions.answered();
  assert.deepEqual([1, 2].map((workflow) => sessions.of(workflow).live.phase(":3")), ["idle", "idle"]);
});

test("an answer to what was asked before the connection was lost does not end the loss", async () => {
  const { sessions } = made();
  const { live } = sessions.of({});
  await live.request(":3", true);
  const reading = sessions.reconcile();
  sessions.lost();
  await reading;
  assert.equal(live.phase(":3"), "offline", "a reading of the queue");
  sessions.answered();
  const asking = live.request(":3", true);
  sessions.lost();
  await asking;
  assert.equal(live.phase(":3"), "offline", "a request");
  await sessions.reconcile();
  assert.equal(live.phase(":3"), "waiting");
});

/** Waits until something is so. */
async function until(so) {
  while (!so()) await new Promise((done) => setTimeout(done, 1));
}

test("a queue that could not be read is read again without an event", async () => {
  const { sessions, told } = made();
  const { live } = sessions.of({});
  await live.request(":3", true);
  told.queue = new Error("502");
  await sessions.reconcile();
  assert.equal(live.phase(":3"), "waiting");
  told.queue = { queue_running: [], queue_pending: [] };
  await until(() => live.phase(":3") === "idle");
});

test("a failed request is sent again as soon as the server answers, without an event", async () => {
  const { sessions, told } = made();
  const { live } = sessions.of({});
  const { queue } = told;
  told.away = true;
  told.queue = new Error("no answer");
  await live.request(":3", true);
  assert.equal(live.phase(":3"), "offline");
  await until(() => told.read > 2);
  assert.equal(live.phase(":3"), "offline");
  told.away = false;
  told.queue = queue;
  await until(() => live.phase(":3") === "waiting");
  assert.deepEqual(queue.queue_pending, [[1, "run1"]]);
  assert.equal(sessions.offline, false);
});

test("a failed request is not sent again if a newer one was waiting", async () => {
  const { sessions, told } = made();
  const session = sessions.of({});
  told.away = true;
  const older = session.live.request(":3", true);
  told.away = false;
  await Promise.all([older, session.live.request(":3", true)]);
  await until(() => !sessions.offline);
  await until(() => !session.live.sending);
  assert.deepEqual([told.queue.queue_pending, told.dropped], [[[1, "run1"]], []]);
  assert.equal(session.live.phase(":3"), "waiting");
});

test("resolved prompts are kept for all samplers of a workflow, until the last Live is off", async () => {
  const { sessions } = made();
  const session = sessions.of({});
  const written = () => ({ value: "{a|b}", type: "customtext", dynamic: true });
  const sent = (text) => {
    const output = { 3: { inputs: { text } } };
    session.kept.apply(output, written);
    return output[3].inputs.text;
  };
  session.startLive(":1");
  assert.equal(sent("a"), "a");
  session.startLive(":2");
  session.endLive(":1", true);
  session.endLive(":5", true); // never on
  assert.equal(sent("b"), "a");
  session.endLive(":2", true);
  assert.equal(sent("b"), "b");
});
