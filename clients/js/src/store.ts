import type { Identity } from "./identity.js";
import { type Received, placeOf } from "./frames.js";
import { compare, type Position } from "./position.js";

/**
 * Keeps where a device is. Write one of your own to keep the cursor in the same transaction as your messages: then a
 * message is shown exactly once, whatever happens to the page.
 *
 * `owner` names the device in the hands of one user.
 */
export interface CursorStore {
  /** Where the device begins. */
  load(owner: string): Promise<Position | undefined> | Position | undefined;
  /** Everything up to here was shown. Called right behind the app's handlers, in the same task where those are synchronous. */
  save(owner: string, cursor: Position): Promise<void> | void;
}

/** Who showed a message: a page, or the service worker that a push woke. */
export type ShownBy = "page" | "push";

/** A store that pages and a service worker share. */
export interface SharedStore extends CursorStore {
  /**
   * Says that this message is about to be shown, and keeps its frame for other pages. `false` where it must not be: the
   * service worker has shown it, or, for the service worker, a page has.
   */
  claim(owner: string, received: Received, by: ShownBy): Promise<boolean>;
  /** The sealed frames of what was claimed after one place and up to another, in order. */
  kept(owner: string, after: Position, end: Position): Promise<readonly string[]>;
  /** The identity under this name. */
  identity(name: string): Promise<Identity | undefined>;
  /** Keeps an identity under these names. */
  keepIdentity(identity: Identity, names: readonly string[]): Promise<void>;
  /** Forgets everything about a device. */
  forget(identity: Identity): Promise<void>;
}

/** Keeps the cursor as long as the page lives. */
export class MemoryStore implements CursorStore {
  readonly #cursors = new Map<string, Position>();

  load(owner: string): Position | undefined {
    return this.#cursors.get(owner);
  }

  save(owner: string, cursor: Position): void {
    this.#cursors.set(owner, cursor);
  }
}

/** So many messages of a device are remembered as shown, with their frames. */
const KEPT = 1_000;
/** After so many claims what is too many is dropped. */
const PRUNE_EVERY = 100;

const DATABASE = "tidings";
const CURSORS = "cursors";
const IDENTITIES = "identities";
const SHOWN = "shown";

interface Shown {
  readonly owner: string;
  readonly id: string;
  readonly epoch?: number;
  readonly seq?: number;
  readonly at: number;
  readonly by: ShownBy;
  readonly sealed: string;
}

/** The outcome of one request. The transaction is still open when it resolves. */
function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Waits until everything of a transaction is kept. */
function kept(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => {
    const database = opening.result;
    database.createObjectStore(CURSORS);
    database.createObjectStore(IDENTITIES);
    const shown = database.createObjectStore(SHOWN, { keyPath: ["owner", "id"] });
    shown.createIndex("place", ["owner", "epoch", "seq"]);
    shown.createIndex("age", ["owner", "at"]);
  };
  return result(opening);
}

/**
 * IndexedDB, shared by all pages and the service worker of an origin. With `perPage`, a page keeps a cursor of its own in
 * `sessionStorage` too, which outlives a reload; the shared one is where a new page begins.
 */
export class IndexedDbStore implements SharedStore {
  readonly #perPage: boolean;
  #opening: Promise<IDBDatabase> | undefined;
  #database: IDBDatabase | undefined;
  #claims = 0;

  constructor(perPage: boolean) {
    this.#perPage = perPage;
  }

  async load(owner: string): Promise<Position | undefined> {
    const shared = result(await this.#read<Position | undefined>(CURSORS, (store) => store.get(owner)));
    return (this.#perPage && loadOwn(owner)) || shared;
  }

  save(owner: string, cursor: Position): Promise<void> {
    if (this.#perPage) {
      saveOwn(owner, cursor);
    }
    return this.#write([CURSORS], (store) => {
      const { transaction } = store(CURSORS).put(cursor, owner);
      // The page may be gone before the transaction would end by itself.
      transaction?.commit();
    });
  }

  async claim(owner: string, { message, sealed }: Received, by: ShownBy): Promise<boolean> {
    const { id } = message;
    const place = placeOf(message);
    let shows = true;
    await this.#write([SHOWN, CURSORS], (store) => {
      const shown = store(SHOWN);
      const before = shown.get([owner, id]) as IDBRequest<Shown | undefined>;
      before.onsuccess = () => {
        if (before.result) {
          // Each page shows what other pages show.
          shows = by === "page" && before.result.by === "page";
        } else {
          shown.put({ owner, id, ...place, at: Date.now(), by, sealed } satisfies Shown);
        }
      };
      if (by === "push" && place) {
        const cursor = store(CURSORS).get(owner) as IDBRequest<Position | undefined>;
        cursor.onsuccess = () => {
          shows &&= compare(place, cursor.result) > 0;
        };
      }
    });
    if (this.#claims++ % PRUNE_EVERY === 0) {
      await this.#prune(owner);
    }
    return shows;
  }

  async kept(owner: string, after: Position, end: Position): Promise<readonly string[]> {
    const range = IDBKeyRange.bound([owner, after.epoch, after.seq], [owner, end.epoch, end.seq], true);
    const shown = await result(
      await this.#read<Shown[]>(SHOWN, (store) => store.index("place").getAll(range)),
    );
    return shown.map(({ sealed }) => sealed);
  }

  async identity(name: string): Promise<Identity | undefined> {
    return result(await this.#read<Identity | undefined>(IDENTITIES, (store) => store.get(name)));
  }

  keepIdentity(identity: Identity, names: readonly string[]): Promise<void> {
    return this.#write([IDENTITIES], (store) => {
      for (const name of names) {
        store(IDENTITIES).put(identity, name);
      }
    });
  }

  forget({ id, owner }: Identity): Promise<void> {
    if (this.#perPage) {
      saveOwn(owner);
    }
    return this.#write([IDENTITIES, CURSORS, SHOWN], (store) => {
      store(CURSORS).delete(owner);
      store(SHOWN).delete(IDBKeyRange.bound([owner], [owner, []]));
      const names = store(IDENTITIES).openCursor();
      names.onsuccess = () => {
        if ((names.result?.value as Identity | undefined)?.id === id) {
          names.result?.delete();
        }
        names.result?.continue();
      };
    });
  }

  /** Drops the oldest of what was shown. */
  #prune(owner: string): Promise<void> {
    const range = IDBKeyRange.bound([owner], [owner, []]);
    return this.#write([SHOWN], (store) => {
      const count = store(SHOWN).count(range);
      count.onsuccess = () => {
        let surplus = count.result - KEPT;
        const oldest = surplus > 0 ? store(SHOWN).index("age").openCursor(range) : undefined;
        if (oldest) {
          oldest.onsuccess = () => {
            if (oldest.result && surplus-- > 0) {
              oldest.result.delete();
              oldest.result.continue();
            }
          };
        }
      };
    });
  }

  async #read<T>(name: string, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<IDBRequest<T>> {
    return ask((await this.#open()).transaction(name).objectStore(name));
  }

  /** Writes at once where the database is open: nothing comes between what a handler did and what is written here. */
  #write(names: string[], change: (store: (name: string) => IDBObjectStore) => void): Promise<void> {
    const write = (database: IDBDatabase): Promise<void> => {
      const transaction = database.transaction(names, "readwrite");
      const done = kept(transaction);
      change((name) => transaction.objectStore(name));
      return done;
    };
    return this.#database ? write(this.#database) : this.#open().then(write);
  }

  #open(): Promise<IDBDatabase> {
    this.#opening ??= openDatabase().then((database) => {
      this.#database = database;
      const forget = (): void => {
        database.close();
        this.#database = this.#opening = undefined;
      };
      // A newer version in another page, or a person who clears the site's data.
      database.onversionchange = forget;
      database.onclose = forget;
      return database;
    });
    return this.#opening;
  }
}

const OWN = "tidings:";

function loadOwn(owner: string): Position | undefined {
  const [epoch, seq] = (globalThis.sessionStorage?.getItem(OWN + owner) ?? "").split(".").map(Number);
  return epoch !== undefined && seq !== undefined ? { epoch, seq } : undefined;
}

function saveOwn(owner: string, cursor?: Position): void {
  if (cursor) {
    globalThis.sessionStorage?.setItem(OWN + owner, `${cursor.epoch}.${cursor.seq}`);
  } else {
    globalThis.sessionStorage?.removeItem(OWN + owner);
  }
}
