import type { Identity } from "./identity.js";
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
   * Says that the message at this place is about to be shown, and keeps its frame for other pages. `false` where it must
   * not be: the service worker has shown it, or, for the service worker, a page has.
   */
  claim(owner: string, place: Position, sealed: string, by: ShownBy): Promise<boolean>;
  /** The sealed frames of what was claimed after one place and up to another, in order. */
  kept(owner: string, after: Position, end: Position): Promise<readonly string[]>;
  /** The identity under this name. */
  identity(name: string): Promise<Identity | undefined>;
  /** Keeps an identity under these names. */
  keepIdentity(identity: Identity, names: readonly string[]): Promise<void>;
  /** Forgets everything about a device in the hands of one user, and these identities. */
  forget(owner: string, names: readonly string[]): Promise<void>;
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

/** So many places of a mailbox are remembered as shown, with their frames. */
const KEPT = 1_000;

/** Where a page keeps its own cursor. */
const OWN = "tidings:";
const CURSORS = "cursors";
const IDENTITIES = "identities";
/** By owner, epoch and seq. */
const SHOWN = "shown";

interface Shown {
  readonly by: ShownBy;
  readonly sealed: string;
}

type Stores = (name: string) => IDBObjectStore;

/**
 * IndexedDB, shared by all pages and the service worker of an origin. With `perPage`, a page keeps a cursor of its own in
 * `sessionStorage` too, which outlives a reload; the shared one is where a new page begins.
 */
export class IndexedDbStore implements SharedStore {
  readonly #perPage: boolean;
  #opening: Promise<IDBDatabase> | undefined;
  #database: IDBDatabase | undefined;

  constructor(perPage: boolean) {
    this.#perPage = perPage;
  }

  async load(owner: string): Promise<Position | undefined> {
    const own = this.#perPage && sessionStorage.getItem(OWN + owner);
    return own ? JSON.parse(own) : this.#ask(CURSORS, (cursors) => cursors.get(owner));
  }

  save(owner: string, cursor: Position): Promise<void> {
    if (this.#perPage) {
      sessionStorage.setItem(OWN + owner, JSON.stringify(cursor));
    }
    return this.#write((stores) => {
      // The page may be gone before the transaction would end by itself.
      stores(CURSORS).put(cursor, owner).transaction?.commit();
    });
  }

  async claim(owner: string, place: Position, sealed: string, by: ShownBy): Promise<boolean> {
    const { epoch, seq } = place;
    let shows = true;
    await this.#write((stores) => {
      const shown = stores(SHOWN);
      const before: IDBRequest<Shown | undefined> = shown.get([owner, epoch, seq]);
      before.onsuccess = () => {
        if (before.result) {
          // Each page shows what other pages show.
          shows &&= by === "page" && before.result.by === by;
        } else {
          shown.put({ by, sealed } satisfies Shown, [owner, epoch, seq]);
        }
      };
      shown.delete(IDBKeyRange.bound([owner], [owner, epoch, seq - KEPT]));
      if (by === "push") {
        const cursor: IDBRequest<Position | undefined> = stores(CURSORS).get(owner);
        cursor.onsuccess = () => {
          shows &&= compare(place, cursor.result) > 0;
        };
      }
    });
    return shows;
  }

  async kept(owner: string, after: Position, end: Position): Promise<readonly string[]> {
    const range = IDBKeyRange.bound([owner, after.epoch, after.seq], [owner, end.epoch, end.seq], true);
    const shown = await this.#ask<Shown[]>(SHOWN, (store) => store.getAll(range));
    return shown.map(({ sealed }) => sealed);
  }

  identity(name: string): Promise<Identity | undefined> {
    return this.#ask(IDENTITIES, (identities) => identities.get(name));
  }

  keepIdentity(identity: Identity, names: readonly string[]): Promise<void> {
    return this.#write((stores) => {
      for (const name of names) {
        stores(IDENTITIES).put(identity, name);
      }
    });
  }

  forget(owner: string, names: readonly string[]): Promise<void> {
    sessionStorage.removeItem(OWN + owner);
    return this.#write((stores) => {
      stores(CURSORS).delete(owner);
      stores(SHOWN).delete(IDBKeyRange.bound([owner], [owner, []]));
      for (const name of names) {
        stores(IDENTITIES).delete(name);
      }
    });
  }

  async #ask<T>(name: string, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const database = this.#database ?? (await this.#open());
    return result(ask(database.transaction(name).objectStore(name)));
  }

  /** Writes at once where the database is open: nothing comes between what a handler did and what is written here. */
  #write(change: (stores: Stores) => void): Promise<void> {
    const write = (database: IDBDatabase): Promise<void> =>
      new Promise((resolve, reject) => {
        const transaction = database.transaction([CURSORS, IDENTITIES, SHOWN], "readwrite");
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
        change((name) => transaction.objectStore(name));
      });
    return this.#database ? write(this.#database) : this.#open().then(write);
  }

  async #open(): Promise<IDBDatabase> {
    if (!this.#opening) {
      const opening = indexedDB.open("tidings", 1);
      opening.onupgradeneeded = () => {
        for (const name of [CURSORS, IDENTITIES, SHOWN]) {
          opening.result.createObjectStore(name);
        }
      };
      this.#opening = result(opening);
    }
    const database = await this.#opening;
    this.#database = database;
    // A newer version in another page, or a person who clears the site's data: the next one opens it again.
    database.onversionchange = database.onclose = () => {
      database.close();
      this.#database = this.#opening = undefined;
    };
    return database;
  }
}

/** The outcome of one request. */
function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
