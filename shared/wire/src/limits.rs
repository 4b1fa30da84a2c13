//! Every limit of the public interface, in one place, so that code, documents and tests quote the same number.

/// HTTP request body, in bytes.
pub const HTTP_BODY_BYTES: usize = 256 * 1024;

/// Recipients of one request.
pub const RECIPIENTS: usize = 1_000;

/// Devices of one user. A registration beyond that unregisters the one that was used least recently.
pub const USER_DEVICES: usize = 100;

/// Open sockets of one user. A connection beyond that closes the one that was used least recently.
pub const USER_SOCKETS: usize = 64;

/// Open sockets of one device, as [`USER_SOCKETS`].
pub const DEVICE_SOCKETS: usize = 8;

/// Window of the pause that a client is asked for whose connection was evicted, in seconds. If more clients of a device
/// live than it may hold, they take turns this slowly.
pub const EVICTED_SECONDS: u64 = 60;

/// How long a device stays registered without connecting, asking or being registered again, in seconds (400 days).
pub const DEVICE_UNUSED_SECONDS: u64 = 34_560_000;

/// Aliases of the recipients of one request together, in bytes: they are stored in one record with the message, which
/// takes 400 KB at most. Only aliases behind device ids can exceed it.
pub const RECIPIENTS_BYTES: usize = 320 * 1_024;

/// Plaintext of one frame to a device, in bytes. Sealed and encoded it stays below API Gateway's 128 KB message.
pub const FRAME_PLAINTEXT_BYTES: usize = 24 * 1024;

/// Part of a frame that the sender does not write: identifiers, position, times, the recipient's alias. In bytes.
pub const FRAME_ENVELOPE_BYTES: usize = 2_048;

/// All content fields of a message together, as JSON, in bytes.
pub const CONTENT_BYTES: usize = FRAME_PLAINTEXT_BYTES - FRAME_ENVELOPE_BYTES;

/// How deeply arrays and objects may be nested in a request body.
pub const JSON_DEPTH: usize = 64;

/// Longest `Idempotency-Key`, in characters.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;

/// Greatest whole number of `extra` that every client reads exactly: 2 to the power of 53, up to which a double (IEEE
/// 754) has all of them.
pub const EXACT_INTEGER: u64 = 9_007_199_254_740_992;

/// Wrong fields that a problem or an error frame names; `detail` gives the number of the others.
pub const PROBLEMS_NAMED: usize = 20;

/// Longest path of a wrong field that a problem shows, in characters; the rest is cut.
pub const PROBLEM_FIELD_CHARS: usize = 200;

/// Longest alias, in characters.
pub const ALIAS_CHARS: usize = 128;

/// Longest identifier (app, tenant, device, category, tag, event, collapse key), in characters.
pub const IDENTIFIER_CHARS: usize = 64;

/// Longest name of an item that a message is about, in characters.
pub const ITEM_CHARS: usize = 128;

/// How long a closed item is remembered, in seconds (400 days): longer than any message that names it can be on its
/// way.
pub const ITEM_CLOSED_SECONDS: u64 = 34_560_000;

/// Longest native token of a platform, in characters.
pub const NATIVE_TOKEN_CHARS: usize = 4_096;

/// Longest endpoint of a Web Push subscription, in characters.
pub const PUSH_ENDPOINT_CHARS: usize = 2_048;

/// Longest key of a Web Push subscription, in characters: 65 bytes as base64url, with padding.
pub const PUSH_KEY_CHARS: usize = 88;

/// Longest human-readable name (sender, sending device, product), in characters.
pub const NAME_CHARS: usize = 128;

/// Longest text of an SMS, in characters (the limit of Amazon SNS).
pub const SMS_CHARS: usize = 1_600;

/// Longest e-mail address, in characters (RFC 5321 §4.5.3.1.3).
pub const EMAIL_CHARS: usize = 254;

/// Steps of one fallback chain.
pub const FALLBACK_STEPS: usize = 8;

/// Steps of one fallback chain by the same channel whose every message costs money: `sms`, and `email`.
pub const FALLBACK_PAID_STEPS: usize = 2;

/// Shortest and longest time that a message is kept for its recipient, in seconds (0: connected devices only; 28 days).
pub const TTL_SECONDS: std::ops::RangeInclusive<u64> = 0..=2_419_200;

/// Time that a message is kept by default, in seconds (72 hours).
pub const TTL_DEFAULT_SECONDS: u64 = 259_200;

/// Shortest and longest time for which a message with `needConfirm` is redelivered, in seconds (5 minutes to 72 hours).
pub const DURATION_SECONDS: std::ops::RangeInclusive<u64> = 300..=259_200;

/// How far ahead a message may be scheduled, in seconds (365 days).
pub const SEND_AT_AHEAD_SECONDS: u64 = 31_536_000;

/// Most recipients of a message of high priority; a message to more is bulk, and travels in the lane of normal
/// priority.
pub const HIGH_PRIORITY_RECIPIENTS: usize = 25;

/// Longest life of a message with `persist: false`, in seconds: devices that are not connected by then do not receive
/// it.
pub const TRANSIENT_SECONDS: u64 = 240;

/// Longest delay of one fallback step, in seconds (72 hours).
pub const FALLBACK_AFTER_SECONDS: std::ops::RangeInclusive<u64> = 0..=259_200;

/// Categories that an app declares.
pub const APP_CATEGORIES: usize = 200;

/// Categories for which a person's preferences differ. They are read with every delivery to that person.
pub const PREFERRED_CATEGORIES: usize = 50;

/// Largest badge.
pub const BADGE: std::ops::RangeInclusive<u64> = 0..=99_999;

/// Longest time between two pings of a device, in seconds.
pub const PING_SECONDS: u64 = 240;

/// Entries that one `sync` replays at most; `more` tells the client to ask again.
pub const SYNC_PAGE: usize = 100;

/// Shortest and longest time that an announcement is kept, in seconds (1 minute to 28 days).
pub const ANNOUNCEMENT_TTL_SECONDS: std::ops::RangeInclusive<u64> = 60..=2_419_200;

/// Announcements that one `sync` replays at most.
pub const ANNOUNCEMENT_PAGE: usize = 50;

/// Announcements that one page of their list has at most, as the backend asks for. Fifty of the largest stay below what
/// Lambda may answer (6 MB).
pub const ANNOUNCEMENT_LIST: std::ops::RangeInclusive<u64> = 1..=50;

/// Announcements of a page of their list by default.
pub const ANNOUNCEMENT_LIST_DEFAULT: u64 = 20;

/// Messages that one page of the inbox lists at most, as the device asks for. A hundred of the largest, sealed, stay
/// below what Lambda may answer (6 MB).
pub const INBOX_PAGE: std::ops::RangeInclusive<u64> = 1..=100;

/// Messages of a page of the inbox by default.
pub const INBOX_PAGE_DEFAULT: u64 = 50;

/// Unread messages that are counted; beyond, `more` is `true`.
pub const UNREAD_COUNTED: u64 = 100;
