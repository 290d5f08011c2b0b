import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveQueue, Unreachable } from "../../web/js/live_queue.js";

/** A server with one worker; `others` are runs that are not ours. Runs start and end when the test says so. */
class Server {
  constructor(...others) {
    this.waiting = others;
    this.running = null;
    this.count = 0;
    this.interrupted = [];
    this.shown = true;
    this.live = new LiveQueue({
      inView: () => this.shown,
      queue: async () => {
        if (this.refuses) throw new Error(this.refuses);
        if (this.away) throw new Unreachable("Failed to fetch");
        const id = `live${++this.count}`;
        this.waiting.push(id);
        if (this.instantly) this.start();
        return id;
      },
      drop: async (id) => (this.waiting = this.waiting.filter((other) => other !== id)),
      interrupt: async (id) => {
        if (id !== this.running) return;
        this.interrupted.push(id);
        this.end("failed");
      },
      forget: async (id) => void this.history.delete(id),
    }, this);
    this.history = new Set();
  }

  offline = false;
  losses = 0;

  unreachable() {
    this.offline = true;
  }

  answered() {
    this.offline = false;
  }

  start() {
    this.running = this.waiting.shift();
    this.live.started(this.running);
  }

  /** What GET /queue answers. */
  get queue() {
    return [this.running === null ? [] : [this.running], [...this.waiting]];
  }

  end(how = "drawn") {
    const id = this.running;
    this.running = null;
    this.live.ended(id, how);
    this.live.tidyHistory(); // too early, as another run may be queued just now
    this.history.add(id);
    this.live.tidyHistory();
  }
}

test("a newer run replaces the one that waits, and nobody else's", async () => {
  const server = new Server("other1", "other2");
  server.start();
  await server.live.request("a", true);
  await server.live.request("a", true);
  await server.live.request("a", true);
  assert.deepEqual(server.waiting, ["other2", "live3"]);
  assert.equal(server.running, "other1");
  assert.deepEqual(server.interrupted, []);
});

test("what runs is cancelled when so chosen, else left to finish", async () => {
  for (const cancels of [true, false]) {
    const server = new Server();
    await server.live.request("a", cancels);
    server.start();
    await server.live.request("a", cancels);
    assert.deepEqual(server.interrupted, cancels ? ["live1"] : []);
    assert.deepEqual(server.waiting, ["live2"]);
    await server.live.request("a", cancels);
    assert.deepEqual(server.waiting, ["live3"]);
    assert.equal(server.running, cancels ? null : "live1");
  }
});

test("wishes while one is being sent become one run, of the graph as it is last", async () => {
  const server = new Server();
  await Promise.all([1, 2, 3, 4].map(() => server.live.request("a", true)));
  assert.equal(server.count, 2, "the first, and one for all that came after");
  assert.deepEqual(server.waiting, ["live2"]);
});

test("off takes back what waits, cancels what runs only when so chosen", async () => {
  for (const cancels of [true, false]) {
    const server = new Server("other");
    await server.live.request("a", false);
    server.start();
    server.end();
    server.start();
    await server.live.request("a", false);
    await server.live.stop("a", cancels);
    assert.deepEqual(server.waiting, []);
    assert.deepEqual(server.interrupted, cancels ? ["live1"] : []);
    assert.equal(server.live.phase("a"), "idle");
  }
});

test("off while a run is being sent takes that run back too", async () => {
  const server = new Server();
  const sent = server.live.request("a", true);
  await server.live.stop("a", true);
  await sent;
  assert.deepEqual(server.waiting, []);
  assert.equal(server.live.phase("a"), "idle");
  await server.live.request("a", true);
  assert.deepEqual(server.waiting, ["live2"], "and on again works");
});

test("off of one node leaves another node's run", async () => {
  const server = new Server();
  await server.live.request("b", true);
  await server.live.stop("a", true);
  assert.deepEqual(server.waiting, ["live1"]);
});

test("a run that begins while it is taken back is cancelled when so chosen", async () => {
  for (const cancels of [true, false]) {
    const server = new Server();
    await server.live.request("a", cancels);
    server.live.runs.drop = async () => server.start(); // too late
    await server.live.stop("a", cancels);
    assert.deepEqual(server.interrupted, cancels ? ["live1"] : []);
  }
});

test("events that outrun the server's answer are not lost", async () => {
  const server = new Server();
  server.instantly = true;
  await server.live.request("a", true);
  assert.equal(server.live.phase("a"), "running");
  server.end();
  assert.equal(server.live.phase("a"), "idle");
});

test("it says where the newest run stands", async () => {
  const server = new Server();
  assert.equal(server.live.phase("a"), "idle");
  const sent = server.live.request("a", false);
  assert.equal(server.live.phase("a"), "sending");
  await sent;
  assert.equal(server.live.phase("a"), "waiting");
  server.start();
  assert.equal(server.live.phase("a"), "running");
  assert.equal(server.live.phase("b"), "idle");
  server.end();
  assert.equal(server.live.phase("a"), "idle");
});

test("a refusal is kept as text until a run is accepted, and stops nothing", async () => {
  const server = new Server();
  server.refuses = "no model";
  await server.live.request("a", true);
  assert.equal(server.live.refusal, "no model");
  assert.equal(server.live.phase("a"), "idle");
  server.refuses = "";
  await server.live.request("a", true);
  assert.equal(server.live.refusal, "");
  assert.deepEqual(server.waiting, ["live1"]);
});

test("runs of which no end was heard, as after a lost connection, do not pile up", async () => {
  const server = new Server();
  for (let turn = 0; turn < 200; turn++) {
    await server.live.request("a", false);
    server.live.started(server.waiting.shift());
  }
  assert.equal(server.live.unfinished.length, 1);
  assert.ok(server.live.states.size <= 50);
});

test("a run that was deleted, cleared or lost in a restart is over; one that goes on is not", async () => {
  const server = new Server("other");
  await server.live.request("a", true);
  const asked = [...server.live.unfinished];
  server.live.reconcile(asked, ...server.queue);
  assert.equal(server.live.phase("a"), "waiting");
  server.running = "live1"; // its start was not heard
  server.live.reconcile(asked, ...server.queue);
  assert.equal(server.live.phase("a"), "running");
  server.live.reconcile(asked, [], ["other"]);
  assert.equal(server.live.phase("a"), "idle");
  assert.deepEqual(server.live.unfinished, []);
});

test("a queue that was read before a run was sent says nothing of it", async () => {
  const server = new Server();
  const asked = [...server.live.unfinished];
  await server.live.request("a", true);
  server.live.reconcile(asked, [], []);
  assert.equal(server.live.phase("a"), "waiting");
});

test("a run taken back that is found running is cancelled when so chosen", async () => {
  for (const cancels of [true, false]) {
    const server = new Server();
    await server.live.request("a", cancels);
    server.live.runs.drop = async () => (server.running = server.waiting.shift()); // its start was not heard
    await server.live.stop("a", cancels);
    server.live.reconcile(["live1"], ...server.queue);
    assert.deepEqual(server.interrupted, cancels ? ["live1"] : []);
  }
});

test("a server that does not answer is no refusal, and is forgotten with the next answer", async () => {
  const server = new Server();
  server.away = true;
  await server.live.request("a", true);
  assert.deepEqual([server.live.phase("a"), server.live.refusal], ["offline", ""]);
  server.away = false;
  await server.live.request("a", true);
  assert.equal(server.live.phase("a"), "waiting");
});

test("what is out of view is neither sent nor cancelled", async () => {
  const server = new Server();
  await server.live.request("a", true);
  server.start();
  server.shown = false;
  await server.live.request("a", true);
  assert.equal(server.live.phase("a"), "running");
  assert.deepEqual([server.count, server.interrupted], [1, []]);
  server.shown = true;
  server.live.runs.queue = async () => null; // gone while the graph was read
  await server.live.request("a", false);
  assert.deepEqual([server.live.phase("a"), server.live.refusal, server.running], ["idle", "", "live1"]);
});

test("what got no answer is sent once more when the server answers, then said", async () => {
  const server = new Server();
  server.away = true;
  await server.live.request("a", true);
  server.answered();
  await server.live.resend();
  assert.equal(server.live.refusal, "Failed to fetch");
  server.answered();
  await server.live.resend();
  assert.equal(server.count, 0, "not for ever");
  await server.live.request("a", true);
  server.away = false;
  await server.live.resend();
  assert.deepEqual([server.waiting, server.live.phase("a"), server.live.refusal], [["live1"], "waiting", ""]);
  await server.live.resend();
  assert.equal(server.count, 1);
});

test("what was withdrawn is not sent again", async () => {
  const server = new Server();
  server.away = true;
  await server.live.request("a", true);
  await server.live.stop("a", true);
  server.away = false;
  await server.live.resend();
  assert.equal(server.count, 0);
});

test("the history keeps the newest picture of Live, and what others ran", async () => {
  const server = new Server("other");
  server.start();
  server.end();
  for (let drag = 1; drag <= 20; drag++) {
    await server.live.request("a", drag % 3 > 0); // now and then a run is cancelled by the next one
    server.start();
    if (drag % 2) server.end();
    assert.ok(server.history.size <= 2, [...server.history].join());
  }
  server.end();
  assert.deepEqual([...server.history], ["other", "live20"]);
  await server.live.request("a", true);
  server.start();
  await server.live.stop("a", true);
  assert.deepEqual([...server.history], ["other", "live20"], "the picture outlives a run that was cancelled");
});

test("the history is tidied of runs that end before their ids are known", async () => {
  const server = new Server();
  const { queue } = server.live.runs;
  server.live.runs.queue = async () => {
    const id = await queue();
    server.start();
    server.end();
    return id;
  };
  for (let drag = 0; drag < 3; drag++) await server.live.request("a", true);
  server.live.tidyHistory();
  assert.deepEqual([...server.history], ["live3"]);
});
