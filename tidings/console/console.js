// The parts of the console: the twin's panels, and the panels about the service.

import { CHANNELS } from "./wire.js";
import announcements from "./panels/announcements.js";
import demo from "./panels/demo.js";
import devices from "./panels/devices.js";
import faults from "./panels/faults.js";
import items from "./panels/items.js";
import messages from "./panels/messages.js";
import { outbox } from "./panels/outbox.js";
import { overview } from "./panels/overview.js";
import preferences from "./panels/preferences.js";
import queues from "./panels/queues.js";
import send from "./panels/send.js";
import sources from "./panels/sources.js";
import traces from "./panels/traces.js";
import { traffic } from "./traffic.js";

export { connect } from "./connect.js";

/** The panels, in the order of their links. */
export const PANELS = [
  overview(traffic),
  demo,
  send,
  messages,
  announcements,
  items,
  devices,
  preferences,
  outbox({
    channels: CHANNELS,
    about: "What went out around the socket, newest first.",
    when: "One goes out if a message has a fallback step and no device confirms it.",
    pushes: {
      apns: (sent) => sent.aps?.alert?.body ?? sent.aps?.alert,
      fcm: (sent) => sent.notification?.body ?? sent.android?.notification?.body,
      // Encrypted for the browser.
      webpush: () => undefined,
      mipush: (sent) => sent.description ?? sent["aps_proper_fields.body"],
      webhook: (sent) => sent.data?.body,
    },
  }),
  queues,
  sources,
  faults,
  traces,
];

/** Further style sheets, after the twin's. */
export const STYLES = ["service.css"];

/** Documents that are served beside the page. */
export const DOCUMENTS = ["openapi.yaml", "asyncapi.yaml"];
