//! Every decision that Tidings makes, as pure functions over data: time, randomness and what the store holds are
//! arguments.
//!
//! The walk of one message through this crate:
//!
//! 1. [`message::accept`]: a send request becomes a [`Message`]. Its [`Letter`] travels: id, content, deadline, chain
//!    of fallback steps.
//! 2. [`Message::deliveries`]: one [`Delivery`] for each recipient, with the letter; it is queued.
//! 3. [`delivery::Placing`]: which request comes next until the letter has its [`Entry`] in the recipient's mailbox,
//!    and to which connections it is posted.
//! 4. [`delivery::settle`]: given the outcomes of the posts, the next actions; [`delivery::first_step`]: when the chain
//!    starts.
//! 5. [`fallback::decide`]: given the mailbox entry, whether a step that is due calls its provider.
//! 6. [`trail::recipient`]: the history of the entry.
//!
//! An [`Announcement`] is for everyone. A [`Timer`] waits until it is due. [`inbox`] decides which messages a person is
//! listed; [`preferences`], whether a step may go out; [`categories`], which categories there are; [`eviction`], which
//! devices and connections go if a user has too many. The data of a fallback chain is in [`chain`]. [`shape`] keeps and
//! skips data of a newer version; [`seal`] is the form in which an app's data is stored.

pub mod announcement;
pub mod categories;
pub mod chain;
pub mod condition;
pub mod delivery;
pub mod eviction;
pub mod fallback;
mod id;
pub mod inbox;
pub mod letter;
pub mod mailbox;
pub mod message;
pub mod preferences;
pub mod presence;
pub mod seal;
pub mod shape;
pub mod timer;
pub mod trail;

pub use announcement::Announcement;
pub use delivery::Delivery;
pub use id::{AppId, ConnectionId, DeviceId, IdError, IdSecret, MessageId, TenantKey, UserKey, digest};
pub use letter::Letter;
pub use mailbox::Entry;
pub use message::Message;
pub use presence::{Connection, Device, KeyHolder, Profile, Pulse, PushRegistration, UserView};
pub use seal::Seal;
pub use shape::{More, Written};
pub use tidings_wire::{Open, Timestamp, Word, action::Position};
pub use timer::Timer;
