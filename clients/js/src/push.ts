/**
 * Messages in a service worker: opens what a push (RFC 8030) brought, and shares what was shown with the pages.
 *
 * ```js
 * import { receivePush } from "@tidings/client/push";
 * self.addEventListener("push", (event) => event.waitUntil(show(event)));
 * async function show(event) {
 *   const { title, body, data } = event.data.json();
 *   const message = data.frame && (await receivePush(data.frame));
 *   if (message === null) return; // a page has shown it
 *   await self.registration.showNotification(title ?? "", { body: message?.alert ?? body, tag: data.id });
 * }
 * ```
 *
 * @module
 */

import { TidingsError } from "./errors.js";
import { unsealMessage } from "./frames.js";
import { keyIdOf } from "./jwe.js";
import { placeOf } from "./position.js";
import { indexedDbStore, type SharedStore } from "./store.js";
import type { Message } from "./wire.js";

export { type ErrorCode, TidingsError } from "./errors.js";
export type { Identity } from "./identity.js";
export type { Cursor, Position } from "./position.js";
export type { CursorStore, SharedStore, ShownBy } from "./store.js";
export type { Json, Message } from "./wire.js";

/**
 * Opens the sealed frame that a push brought, with the keys that a page of this origin has kept in IndexedDB when its
 * device started. `null` where a page has shown the message already. Otherwise it is the service worker's to show, and no
 * page shows it when it comes over a socket.
 *
 * Throws a {@link TidingsError}: `unreadable_frame` for what is not sealed for a device of this origin, `unexpected` for a
 * frame that is no message.
 */
export async function receivePush(
  sealed: string,
  { store = indexedDbStore(false) }: { store?: SharedStore } = {},
): Promise<Message | null> {
  // `<device>.<root key version>.<generation>.enc`; a device's id may have dots.
  const device = keyIdOf(sealed)?.split(".").slice(0, -3).join(".");
  const identity = device && (await store.identity(`device:${device}`));
  if (!identity) {
    throw new TidingsError("unreadable_frame", "not sealed for this device");
  }
  const message = await unsealMessage(identity, sealed);
  const place = placeOf(message);
  return place && !(await store.claim(identity.owner, place, sealed, "push")) ? null : message;
}
