/**
 * A device of Tidings in a browser or in Node: keeps a socket open, asks for missed messages, opens sealed frames, puts
 * messages in order, shows each once, acknowledges, and reconnects after every loss.
 *
 * ```js
 * import { Device } from "@tidings/client";
 * const registration = () => fetch("/my-backend/register", { method: "POST" }).then((answer) => answer.json());
 * const device = new Device({ url: "wss://…/prod", registration });
 * device.on("message", (message) => console.log(message.alert));
 * device.start();
 * ```
 *
 * @module
 */

export type { State, StateChange } from "./listener.js";
export type { Gap } from "./delivery.js";
export { Device } from "./device.js";
export type { Environment, Socket, SocketClass } from "./environment.js";
export { type ErrorCode, TidingsError } from "./errors.js";
export type { Jwk, Registration } from "./identity.js";
export type { DeviceEvents, DeviceOptions, Handler, InboxMessage, InboxPage } from "./options.js";
export type { Cursor, Position } from "./position.js";
export type { CursorStore } from "./store.js";
export type { Announcement, AppState, Channel, Channels, Json, Message, Preferences, Unread } from "./wire.js";
