import type { Identity } from "./identity.js";
import { type Cursor, compare, type Position, placeOf } from "./position.js";

/**
 * Keeps where a device is. Write one of your own to keep the cursor in the same transaction as your messages: then a
 * message is shown exactly once, whatever happens to the page.
 *
 * `owner` names the device in the hands of one user.
 */
export interface CursorStore {
  /** Where the device begins. */
  load(owner: string): Promise<Cursor | undefined> | Cursor | undefined;
  /**
   * Everything up to here was shown. Keep all of its fields. Called right behind the app's handlers, in the same task where
   * those are synchronous; but never before the last call has ended.
   */
  save(owner: string, cursor: Cursor): Promise<void> | void;
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
export function memoryStore(): CursorStore {
  const cursors = new Map<string, Cursor>();
  return {
    load: (owner) => cursors.get(owner),
    save: (owner, cursor) => {
      cursors.set(owner, cursor);
    },
  };
}

/** So many places of a mailbox are remembered as shown, with their frames. */
const KEPT = 1_000;

/** Where a page keeps its own cursor. */
const OWN = "tidings:";
const CURSORS = "cursors";
const IDENTITIES = "identities";
/** By owner, epoch and seq. */
const SHOWN = "shown";
const STORES = [CURSORS, IDENTITIES, SHOWN];

interface Shown {
  readonly by: ShownBy;
  readonly sealed: string;
}

type Stores = (name: string) => IDBObjectStore;

/** The database of this origin, one for all devices of a page: being opened, and open. */
let opening: Promise<IDBDatabase> | undefined;
let opened: IDBDatabase | undefined;

function open(): Promise<IDBDatabase> {
  if (!opening) {
    const request = indexedDB.open("tidings", 1);
    request.onupgradeneeded = () => {
      for (const name of STORES) {
        request.result.createObjectStore(name);
      }
    };
    opening = result(request).then((it) => {
      opened = it;
      // A newer version in another page, or a person who clears the site's data: the next one opens it again.
      it.onversionchange = it.onclose = () => {
        it.close();
        opened = opening = undefined;
      };
      return it;
    });
    // The next one tries again.
    opening.catch(() => (opening = undefined));
  }
  return opening;
}

async function ask<T>(name: string, question: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const it = await open();
  return result(question(it.transaction(name).objectStore(name)));
}

/** Writes at once if the database is open: nothing comes between what a handler did and what is written here. */
function write(change: (stores: Stores) => void): Promise<void> {
  const begin = (it: IDBDatabase): Promise<void> =>
    new Promise((resolve, reject) => {
      const transaction = it.transaction(STORES, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      change((name) => transaction.objectStore(name));
    });
  return opened ? begin(opened) : open().then(begin);
}

/**
 * IndexedDB, shared by all pages and the service worker of an origin. With `perPage`, a page keeps a cursor of its own in
 * `sessionStorage` too, which outlives a reload; the shared one is where a new page begins.
 */
export function indexedDbStore(perPage: boolean): SharedStore {
  return {
    async load(owner) {
      const own = perPage && sessionStorage.getItem(OWN + owner);
      return own ? JSON.parse(own) : ask(CURSORS, (cursors) => cursors.get(owner));
    },

    save(owner, cursor) {
      if (perPage) {
        sessionStorage.setItem(OWN + owner, JSON.stringify(cursor));
      }
      return write((stores) => {
        // The page may be gone before the transaction would end by itself.
        stores(CURSORS).put(cursor, owner).transaction?.commit();
      });
    },

    async claim(owner, place, sealed, by) {
      const { epoch, seq } = place;
      let shows = true;
      await write((stores) => {
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
          const cursor: IDBRequest<Cursor | undefined> = stores(CURSORS).get(owner);
          cursor.onsuccess = () => {
            shows &&= compare(place, placeOf(cursor.result ?? {})) > 0;
          };
        }
      });
      return shows;
    },

    async kept(owner, after, end) {
      const range = IDBKeyRange.bound([owner, after.epoch, after.seq], [owner, end.epoch, end.seq], true);
      const shown = await ask<Shown[]>(SHOWN, (store) => store.getAll(range));
      return shown.map(({ sealed }) => sealed);
    },

    identity: (name) => ask(IDENTITIES, (identities) => identities.get(name)),

    keepIdentity: (identity, names) =>
      write((stores) => {
        for (const name of names) {
          stores(IDENTITIES).put(identity, name);
        }
      }),

    forget(owner, names) {
      sessionStorage.removeItem(OWN + owner);
      return write((stores) => {
        stores(CURSORS).delete(owner);
        stores(SHOWN).delete(IDBKeyRange.bound([owner], [owner, []]));
        for (const name of names) {
          stores(IDENTITIES).delete(name);
        }
      });
    },
  };
}

/** The outcome of one request. */
function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
