import type { Identity } from "./identity.js";
import type { Cursor, Position } from "./position.js";

/**
 * Stores a device's cursor. Write your own store to keep the cursor in the same transaction as your messages: then a
 * message is shown exactly once, whenever the page ends.
 *
 * `owner` identifies the device in the hands of one user.
 */
export interface CursorStore {
  /** The cursor with which the device begins. */
  load(owner: string): Promise<Cursor | undefined> | Cursor | undefined;
  /**
   * Stores the cursor: everything up to it was shown. Keep all of its fields. Called right after the app's handlers, in
   * the same task if they are synchronous, but never before the last call has ended.
   */
  save(owner: string, cursor: Cursor): Promise<void> | void;
}

/** The side that showed a message: a page, or the service worker that a push woke. */
export type ShownBy = "page" | "push";

/** A store that pages and a service worker share. */
export interface SharedStore extends CursorStore {
  /**
   * Claims the message at this position, which is about to be shown, and keeps its frame for other pages. `false` if it
   * must not be shown: the service worker has shown it, or, for the service worker, a page has.
   */
  claim(owner: string, place: Position, sealed: string, by: ShownBy): Promise<boolean>;
  /** The sealed frames of the messages that were claimed after one position and up to another, in order. */
  kept(owner: string, after: Position, end: Position): Promise<readonly string[]>;
  /** The identity under this name. */
  identity(name: string): Promise<Identity | undefined>;
  /** Keeps an identity under these names. */
  keepIdentity(identity: Identity, names: readonly string[]): Promise<void>;
  /** Deletes everything about a device in the hands of one user, and these identities. */
  forget(owner: string, names: readonly string[]): Promise<void>;
}

/** Keeps the cursor as long as the page lives. */
export function memoryStore(): CursorStore {
  const cursors = new Map<string, Cursor>();
  return {
    load: (owner) => cursors.get(owner),
    save: (owner, cursor) => {
      cursors.set(owner, cursor);
    },
  };
}

/** How many positions of a mailbox are kept as shown, with their frames. */
const KEPT = 1_000;

/** The prefix of a page's cursors in its session storage. */
const OWN = "tidings:";
const CURSORS = "cursors";
const IDENTITIES = "identities";
/** Keys are owner, epoch and seq. */
const SHOWN = "shown";
const STORES = [CURSORS, IDENTITIES, SHOWN];

interface Shown {
  readonly by: ShownBy;
  readonly sealed: string;
}

type Stores = (name: string) => IDBObjectStore;

/** The database of this origin, one for all devices of a page. */
let opened: IDBDatabase | undefined;

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("tidings", 1);
    request.onupgradeneeded = () => {
      for (const name of STORES) {
        request.result.createObjectStore(name);
      }
    };
    request.onsuccess = () => {
      // A concurrent request may have opened it.
      reopen();
      opened = request.result;
      // Another page has a newer version, or a person clears the site's data.
      opened.onversionchange = reopen;
      resolve(opened);
    };
    request.onerror = () => reject(request.error);
  });
}

/** Closes the database; the next request reopens it. */
export function reopen(): void {
  opened?.close();
  opened = undefined;
}

/**
 * Uses the database, at once if it is open: nothing comes between a handler's work and this write. Browsers take an
 * open database away without an event (iOS from a page in the background), so a failed request is tried once more with
 * the database reopened.
 */
async function use<T>(work: (it: IDBDatabase) => Promise<T>, isLast?: boolean): Promise<T> {
  try {
    return await work(opened ?? (await open()));
  } catch (error) {
    reopen();
    if (isLast) {
      throw error;
    }
    return use(work, true);
  }
}

/** A transaction, and the result of its last request. */
function run<T>(work: (stores: Stores) => IDBRequest<T>): Promise<T> {
  return use(
    (it) =>
      new Promise((resolve, reject) => {
        const transaction = it.transaction(STORES, "readwrite");
        const request = work((name) => transaction.objectStore(name));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => reject(transaction.error);
      }),
  );
}

/** A request to a page's session storage; a sandboxed frame may not use it, and it may be full. */
function session<T>(question: (storage: Storage) => T): T | undefined {
  try {
    return question(sessionStorage);
  } catch {
    return undefined;
  }
}

/**
 * IndexedDB, shared by all pages and the service worker of an origin. With `perPage`, a page also keeps a cursor in
 * `sessionStorage`, which outlives a reload; a new page begins at the shared one.
 */
export function indexedDbStore(perPage: boolean): SharedStore {
  return {
    async load(owner) {
      const own = perPage && session((storage) => storage.getItem(OWN + owner));
      return own ? JSON.parse(own) : run((stores) => stores(CURSORS).get(owner));
    },

    async save(owner, cursor) {
      if (perPage) {
        session((storage) => storage.setItem(OWN + owner, JSON.stringify(cursor)));
      }
      await run((stores) => {
        const put = stores(CURSORS).put(cursor, owner);
        // The page may end before the transaction would commit by itself.
        put.transaction?.commit();
        return put;
      });
    },

    async claim(owner, { epoch, seq }, sealed, by) {
      let shows = true;
      await run((stores) => {
        const shown = stores(SHOWN);
        const before: IDBRequest<Shown | undefined> = shown.get([owner, epoch, seq]);
        before.onsuccess = () => {
          if (before.result) {
            // Each page shows what other pages show.
            shows = by === "page" && before.result.by === by;
          } else {
            shown.put({ by, sealed } satisfies Shown, [owner, epoch, seq]);
          }
        };
        return shown.delete(IDBKeyRange.bound([owner], [owner, epoch, seq - KEPT]));
      });
      return shows;
    },

    async kept(owner, after, end) {
      const range = IDBKeyRange.bound([owner, after.epoch, after.seq], [owner, end.epoch, end.seq], true);
      const shown: Shown[] = await run((stores) => stores(SHOWN).getAll(range));
      return shown.map(({ sealed }) => sealed);
    },

    identity: (name) => run((stores) => stores(IDENTITIES).get(name)),

    async keepIdentity(identity, names) {
      for (const name of names) {
        await run((stores) => stores(IDENTITIES).put(identity, name));
      }
    },

    async forget(owner, names) {
      session((storage) => storage.removeItem(OWN + owner));
      await run((stores) => {
        for (const name of names) {
          stores(IDENTITIES).delete(name);
        }
        stores(CURSORS).delete(owner);
        return stores(SHOWN).delete(IDBKeyRange.bound([owner], [owner, []]));
      });
    },
  };
}
