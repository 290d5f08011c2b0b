// @ts-check
/**
 * Pictures of finished runs by what was computed. ComfyUI shows no pictures in progress for a sampler that it has in its
 * cache; they are taken from here, also after a reload of the page.
 */

const KEPT = 24; // runs; the server's own cache holds a few
const [DATABASE, STORE, AGE] = ["EchoGen", "strips", "at"];

/**
 * The same text for the same computation of a node: its class and inputs, and those of all nodes before it. Ids don't
 * count.
 * @param {Record<string, {class_type?: unknown, inputs?: Record<string, unknown>}>} output  a graph in API format
 * @param {string} path @returns {string}
 */
export function workOf(output, path) {
  /** @type {Map<string, string>} */
  const known = new Map();
  const work = (/** @type {string} */ at) => {
    const before = known.get(at);
    if (before !== undefined) return before;
    known.set(at, ""); // a circle ends here
    const { class_type, inputs = {} } = output[at] ?? {};
    const names = Object.keys(inputs).sort();
    const values = names.map((name) => {
      const value = inputs[name];
      const isLink = Array.isArray(value) && value.length === 2 && Object.hasOwn(output, String(value[0]));
      return isLink ? [work(String(value[0])), value[1]] : { value };
    });
    const made = hash(JSON.stringify([class_type, names, values]));
    known.set(at, made);
    return made;
  };
  return work(path);
}

/** 64 bits of a text, as FNV-1a. @param {string} text */
function hash(text) {
  let state = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    state = BigInt.asUintN(64, (state ^ BigInt(byte)) * 0x100000001b3n);
  }
  return state.toString(16);
}

/** Keeps the newest strips in memory, and in the browser's database where it allows that. */
export class StripStore {
  /** @param {() => IDBFactory} factory */
  constructor(factory) {
    /** @type {Map<string, (Blob | undefined)[]>} */
    this.strips = new Map();
    /** @type {Promise<IDBDatabase | null> | undefined} */
    this.opened = undefined;
    this.factory = factory;
  }

  /** A strip with a hole, where a preview was lost, isn't kept: what is known of the same work may be complete.
   *  @param {string} work @param {(Blob | undefined)[]} pictures  by scale */
  async keep(work, pictures) {
    if (pictures.includes(undefined)) return;
    this.strips.delete(work);
    this.strips.set(work, [...pictures]);
    const [oldest] = this.strips.keys();
    if (this.strips.size > KEPT) this.strips.delete(oldest);
    await this.#attempt(async (database) => {
      const store = database.transaction(STORE, "readwrite").objectStore(STORE);
      await done(store.put({ work, pictures: [...pictures], [AGE]: Date.now() }));
      const byAge = await done(store.index(AGE).getAllKeys());
      for (const old of byAge.slice(0, -KEPT)) store.delete(old);
    });
  }

  /** The pictures of a computation; undefined if it was too long ago, or in another browser.
   *  @param {string} work @returns {Promise<(Blob | undefined)[] | undefined>} */
  async find(work) {
    const known = this.strips.get(work);
    if (known) return known;
    const found = await this.#attempt((database) => done(database.transaction(STORE).objectStore(STORE).get(work)));
    return found?.pictures;
  }

  /** @template T @param {(database: IDBDatabase) => Promise<T>} action @returns {Promise<T | undefined>} */
  async #attempt(action) {
    this.opened ??= this.#open();
    const database = await this.opened;
    if (!database) return undefined;
    try {
      return await action(database);
    } catch (error) {
      console.warn("EchoGen: the browser's database fails, so a reload forgets the pictures of former runs.", error);
      this.opened = Promise.resolve(null);
      return undefined;
    }
  }

  /** The database; null where the browser has none for this page, as in some private windows. */
  async #open() {
    try {
      const request = this.factory().open(DATABASE, 1);
      request.onupgradeneeded = () =>
        request.result.createObjectStore(STORE, { keyPath: "work" }).createIndex(AGE, AGE);
      return await done(request);
    } catch (error) {
      console.warn("EchoGen: no database in this browser, so a reload forgets the pictures of former runs.", error);
      return null;
    }
  }
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
