// Generated from the types of shared/wire by `cargo run -p tidings-wire --features schema --example schemas`.

/** What happened to a message, with `{device}`, `{step}` and `{code}` to be filled in. */
export const EVENTS = {
  accepted: "accepted: will be settled for every recipient",
  scheduled: "its time to be sent",
  stored: "stored in the mailbox",
  posted: "posted to device {device}",
  unanswered: "the post to device {device} had no answer",
  redelivered: "posted once more to device {device}",
  offline: "no device was connected",
  gone: "the connection of device {device} turned out to be gone",
  confirmed: "confirmed by device {device}",
  read: "read on device {device}",
  "step-put-off": "{step} put off, because the provider could not take it: {code}",
  "step-started": "{step} began",
  "step-accepted": "{step} accepted by the provider as {code}",
  "step-refused": "{step} refused by the provider: {code}",
  "step-skipped": "{step} skipped: {code}",
  "step-unknown": "{step} began, and its outcome is not known; it is not repeated",
  cancelled: "cancelled by its sender",
  replaced: "replaced by a newer message under the same collapse key",
  expired: "expired: no device had confirmed it",
  unknown: "recorded by a newer version of the service: {code}",
};

/** The ways around the socket, as people call them. */
export const CHANNELS = {
  apns: "APNs",
  fcm: "FCM",
  webpush: "Web Push",
  mipush: "Mi Push",
  sms: "SMS",
  email: "Email",
  webhook: "Webhook",
};

/** What the names of an audience are. */
export const AUDIENCE_TYPES = ["ALIAS", "DEVICE"];

/** Kinds of content. */
export const MSG_TYPES = ["text", "event", "image", "voice", "link", "file"];

/** What a device runs. */
export const PLATFORMS = ["ANDROID", "IOS", "PC", "WEB"];

/** The lanes of messages. */
export const PRIORITIES = ["high", "normal"];

/** The states of a recipient, in the order in which charts have them. */
export const STATES = [
  "scheduled",
  "accepted",
  "pending",
  "confirmed",
  "fallback-delivered",
  "expired",
  "suppressed",
  "failed",
];

/** The states that nothing but a late confirmation follows. */
export const SETTLED = ["confirmed", "fallback-delivered", "expired", "suppressed", "failed"];
