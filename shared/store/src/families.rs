//! What is stored, declared: every attribute of every family of items, and every kind of queue body, with the form in
//! which it is stored and whose it is. Sealing follows from this table. An attribute that is missing here fails at the
//! write.

use tidings_domain::{Timer, announcement::Fanout, chain::StepDue, delivery::Job, shape::Body};

/// The form in which an attribute is stored in a deployment that seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// As it is: ids, times, positions, counts, and configuration of an app.
    Clear,
    /// A key that contains an enciphered name: an alias or the name of an item.
    Named,
    /// A key that contains a keyed hash.
    Hashed,
    /// Ciphertext, bound to its place.
    Sealed,
    /// A sealed queue body.
    Body,
    /// The app's keyring, and the key around it that KMS has wrapped.
    Keyring,
}

/// Whose data an attribute is: with whom it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user.
    User,
    /// A message, and through it its sender.
    Message,
    /// An app.
    App,
    /// The service itself.
    Nobody,
}

/// An attribute of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name in the table.
    pub name: &'static str,
    /// Its form.
    pub guard: Guard,
    /// Whose it is.
    pub owner: Owner,
}

/// A family of items: those that are written and read in one form.
#[derive(Debug)]
pub struct Family {
    /// Its name, which is part of what its sealed attributes are bound to: never change it.
    pub name: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
    /// Whether its items may carry attributes of a newer version, from a queue body. They are sealed.
    pub is_open: bool,
}

impl Family {
    /// The declaration of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn guard(&self, name: &str) -> Option<Guard> {
        self.attribute(name).map(|attribute| attribute.guard).or(self.is_open.then_some(Guard::Sealed))
    }
}

const fn of(owner: Owner, guard: Guard, name: &'static str) -> Attribute {
    Attribute { name, guard, owner }
}

/// Attributes of one owner: `name` in clear, or `name: Guard`.
macro_rules! attributes {
    ($owner:ident: $($name:ident $(: $guard:ident)?),+ $(,)?) => {
        &[$(of(Owner::$owner, attributes!(@ $($guard)?), stringify!($name))),+]
    };
    (@) => { Guard::Clear };
    (@ $guard:ident) => { Guard::$guard };
}

macro_rules! families {
    ($($(#[$meta:meta])* $constant:ident = $($open:ident)? $name:literal $attributes:expr;)+) => {
        $($(#[$meta])* pub const $constant: Family =
            Family { name: $name, attributes: $attributes, is_open: families!(@ $($open)?) };)+
        /// All of them.
        pub const ALL: &[&Family] = &[$(&$constant),+];
    };
    (@) => { false };
    (@ open) => { true };
}

families! {
    /// A user's profile and preferences.
    PROFILE = "profile" attributes!(User:
        pk: Named, sk, mobile: Sealed, email: Sealed, tag: Sealed, locale: Sealed, time_zone: Sealed,
        preferences: Sealed);
    /// A device in its user's partition.
    DEVICE = "device" attributes!(User:
        pk: Named, sk, device, user_key: Named, generation, platform, client_version, registered, last_used,
        expires_at, cursor_epoch, cursor_seq, push: Sealed);
    /// A device by its id.
    DEVICE_LOOKUP = "device_lookup" attributes!(User:
        pk, device, user_key: Named, generation, platform, client_version, registered, last_used);
    /// A connection in its user's partition.
    CONNECTION = "connection" attributes!(User:
        pk: Named, sk, connection_id, user_key: Named, device, generation, key_version, platform, connected,
        expires_at, app_state, tenant_shard);
    /// A connection by its id, and its tombstone.
    CONNECTION_LOOKUP = "connection_lookup" attributes!(User:
        pk, connection_id, user_key: Named, device, generation, key_version, platform, connected, expires_at,
        tombstone, buried);
    /// A connect token that was used.
    TOKEN_USED = "token_used" attributes!(User: pk, expires_at);
    /// A mailbox entry: a letter, its links, and what has happened to it. It may carry what a newer version has added
    /// to its letter.
    ENTRY = open "mailbox_entry" attributes!(User:
        pk: Named, sk, id, platform, content: Sealed, sms: Sealed, steps, condition: Sealed, accepted, deadline,
        redeliverUntil, collapse: Sealed, stored, expires_at, before, collapsed: Sealed, replaces_seq, closed, posted,
        offline_at, gone, unanswered, redelivered, redeliveries, repeated, acked_by, read_by, progress);
    /// That a log was started.
    LOG = "mailbox_log" attributes!(User: pk: Named, sk, begun, expires_at);
    /// The record of a send.
    MESSAGE = "message" &[
        of(Owner::Message, Guard::Clear, "pk"),
        of(Owner::App, Guard::Clear, "app"),
        of(Owner::App, Guard::Clear, "tenant"),
        of(Owner::User, Guard::Sealed, "aliases"),
        of(Owner::Message, Guard::Sealed, "body_hash"),
        of(Owner::Message, Guard::Clear, "accepted"),
        of(Owner::Message, Guard::Clear, "send_at"),
        of(Owner::Message, Guard::Clear, "ttl_seconds"),
        of(Owner::Message, Guard::Clear, "priority"),
        of(Owner::Message, Guard::Clear, "redeliver_seconds"),
        of(Owner::Message, Guard::Clear, "cancelled_at"),
        of(Owner::Message, Guard::Clear, "begun_at"),
        of(Owner::Message, Guard::Sealed, "payload"),
        of(Owner::Message, Guard::Clear, "steps"),
        of(Owner::Message, Guard::Sealed, "downgrades"),
        of(Owner::Message, Guard::Clear, "expires_at"),
    ];
    /// An announcement in the log of its tenant.
    ANNOUNCEMENT = "announcement" attributes!(App:
        pk, sk, id, number, after, for_platform, content: Sealed, accepted, deadline, expires_at, withdrawn_at, posts);
    /// The newest numbers of such a log.
    ANNOUNCEMENT_HEAD = "announcement_head" attributes!(App: pk, sk, head, heads);
    /// The receipt of an announcement.
    ANNOUNCEMENT_RECEIPT = "announcement_receipt" attributes!(App:
        pk, sk, id, app, tenant, number, body_hash: Sealed, accepted, ttl_seconds, expires_at);
    /// An item that is closed.
    ITEM_CLOSED = "item_closed" attributes!(App: pk, sk: Named, closed_at, expires_at);
    /// An app: its configuration, in clear, and its keys.
    APP = "app" attributes!(App:
        pk, sk, id, name, key_hashes, id_secret: Sealed, origins, created, chains, categories,
        wrapped_key: Keyring, keyring: Keyring);
    /// A timer that is due later than a queue's longest delay.
    TIMER = "timer" attributes!(User: pk, sk: Hashed, timer: Body, expires_at);
    /// The minute up to which timers were handed on.
    TIMER_CURSOR = "timer_cursor" attributes!(Nobody: pk, sk, done_minute);
}

/// The queue bodies, by their kinds. Their whole body is sealed; of a scheduled send's timer, which holds a message's
/// id and a time, nothing is.
pub const BODIES: &[Attribute] = &[
    of(Owner::User, Guard::Body, Job::KIND),
    of(Owner::User, Guard::Body, Timer::KIND),
    of(Owner::User, Guard::Body, StepDue::KIND),
    of(Owner::User, Guard::Body, Fanout::KIND),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_and_attribute_is_declared_once() {
        let mut names: Vec<&str> = ALL.iter().map(|family| family.name).collect();
        for family in ALL {
            let mut attributes: Vec<&str> = family.attributes.iter().map(|attribute| attribute.name).collect();
            let count = attributes.len();
            attributes.sort_unstable();
            attributes.dedup();
            assert_eq!(attributes.len(), count, "{}", family.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
