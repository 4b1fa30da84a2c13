/**
 * Messages in a service worker: opens the frame of a push (RFC 8030), and shares with the pages which messages were
 * shown.
 *
 * ```js
 * import { receivePush } from "@tidings/client/push";
 * self.addEventListener("push", (event) => event.waitUntil(show(event.data)));
 * async function show(received) {
 *   let push = {};
 *   let message;
 *   try {
 *     push = received.json();
 *     message = await receivePush(push.data.frame);
 *   } catch (error) {
 *     console.warn("shown without its frame", error);
 *   }
 *   // Always one notification: after three pushes that show nothing, Safari ends the subscription.
 *   const body = message?.alert ?? push.body ?? "Open the app to read it.";
 *   const wasShown = message === null;
 *   const options = { body, tag: push.data?.id, silent: wasShown };
 *   await self.registration.showNotification(push.title || "New message", options);
 * }
 * ```
 *
 * @module
 */

import { TidingsError } from "./errors.js";
import { unsealMessage } from "./frames.js";
import { keyIdOf } from "./jwe.js";
import { compare, placeOf } from "./position.js";
import { indexedDbStore, type SharedStore } from "./store.js";
import type { Message } from "./wire.js";

export { type ErrorCode, TidingsError } from "./errors.js";
export type { Identity } from "./identity.js";
export type { Cursor, Position } from "./position.js";
export type { CursorStore, SharedStore, ShownBy } from "./store.js";
export type { Json, Message } from "./wire.js";

/**
 * Opens the sealed frame of a push, with the keys that a page of this origin has kept in IndexedDB when its device
 * started. `null` if a page has shown the message already. Otherwise the service worker must show it, and no page shows
 * it when it comes over a socket.
 *
 * Throws a {@link TidingsError}: `unreadable_frame` if it is not sealed for a device of this origin, `unexpected` if it
 * is not a message.
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
  const { owner } = identity;
  const place = placeOf(message);
  // A page claims a message before its cursor moves, so a page that runs at the same time is noticed by one or the
  // other.
  const wasShown =
    place &&
    (compare(place, placeOf((await store.load(owner)) ?? {})) <= 0 ||
      !(await store.claim(owner, place, sealed, "push")));
  return wasShown ? null : message;
}
