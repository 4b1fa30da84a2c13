//! The messages that functions sent to people: the emails and text messages that SES and SNS would have delivered, and
//! those that an extension catches. They are kept for inspection.
//!
//! With a journal the outbox survives a kill: a sender is answered, and an item shown, only once it is on the disk.

mod control;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::control::{EMAIL_POLICY, control};
use crate::ids::uuid;
use crate::journal::{self, Journal};
use crate::ledger::TraceId;

/// How many items are kept; the oldest go first.
const KEPT: usize = 10_000;

/// The channel of a message: `email`, `sms`. Each extension that writes to the outbox names its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(Cow<'static, str>);

impl Channel {
    /// The channel of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

/// One message that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its number in the outbox; the first is 1.
    pub number: u64,
    /// The id that the sender received.
    pub message_id: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at: u64,
    /// Its channel.
    pub channel: Channel,
    /// The sender, if the request names one.
    pub from: Option<String>,
    /// The recipients: addresses, a telephone number, an ARN; of a push the token, the endpoint, the alias or the
    /// topic.
    pub to: Vec<String>,
    /// The subject; of a push its title, if it can be read.
    pub subject: Option<String>,
    /// The text; of a raw email, the whole email in base64; of a push, the body of the request, in base64url for a Web
    /// Push.
    pub text: Option<String>,
    /// The HTML of an email.
    pub html: Option<String>,
    /// Further headers of an email, or the headers of a push that its protocol defines.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub headers: BTreeMap<String, String>,
    /// The traces that sent it.
    pub traces: Vec<TraceId>,
}

/// The outbox of a twin, oldest first. A clone shows the same one.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    items: Mutex<Items>,
    grew: Notify,
    journal: Option<Journal<Item>>,
}

#[derive(Debug, Default)]
struct Items {
    kept: VecDeque<Item>,
    /// The number of the last item.
    count: u64,
    /// The number of the last item that is on the disk, as all before it are.
    safe: u64,
}

/// A new entry for the outbox: the fields of an [`Item`] that its sender knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of Item")]
pub struct Draft {
    pub channel: Channel,
    pub from: Option<String>,
    pub to: Vec<String>,
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub headers: BTreeMap<String, String>,
}

impl Outbox {
    /// An outbox with the items of the journal at `path`; in memory without a path.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let mut kept = VecDeque::from(journal::read::<Item>(path)?);
        kept.drain(..kept.len().saturating_sub(KEPT));
        // Numbers continue: a client that has seen one asks for the items after it.
        let count = kept.back().map_or(0, |item| item.number);
        let journal = Journal::create(path, kept.iter().cloned())?;
        let items = Mutex::new(Items { kept, count, safe: count });
        Ok(Self(Arc::new(Shared { items, grew: Notify::new(), journal: Some(journal) })))
    }

    /// The items after this number; 0 for all.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Item> {
        let items = self.items();
        items.kept.iter().filter(|it| it.number > number && it.number <= items.safe).cloned().collect()
    }

    /// Whether a message with this id was sent over this channel.
    #[must_use]
    pub fn has(&self, channel: &Channel, message_id: &str) -> bool {
        self.items().kept.iter().any(|item| item.channel == *channel && item.message_id == message_id)
    }

    /// The item of this number, while it is kept.
    #[must_use]
    pub fn item(&self, number: u64) -> Option<Item> {
        let items = self.items();
        items.kept.iter().find(|it| it.number == number && it.number <= items.safe).cloned()
    }

    /// Waits for items after this number.
    pub async fn wait_after(&self, number: u64) -> Vec<Item> {
        loop {
            let grew = self.0.grew.notified();
            tokio::pin!(grew);
            // Registered before the check, so that no item in between is missed.
            grew.as_mut().enable();
            let items = self.after(number);
            if !items.is_empty() {
                return items;
            }
            grew.await;
        }
    }

    /// Adds a message, and returns its new id.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn put(&self, draft: Draft, traces: &[TraceId]) -> io::Result<String> {
        let message_id = uuid();
        self.put_as(message_id.clone(), draft, traces).await?;
        Ok(message_id)
    }

    /// Adds a message under an id that its sender or its channel has chosen.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn put_as(&self, message_id: String, draft: Draft, traces: &[TraceId]) -> io::Result<()> {
        let sent_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let Draft { channel, from, to, subject, text, html, headers } = draft;
        let number = self.add(|number| Item {
            number,
            message_id,
            sent_at: u64::try_from(sent_at).unwrap_or(u64::MAX),
            channel,
            from,
            to,
            subject,
            text,
            html,
            headers,
            traces: traces.to_vec(),
        });
        if let Some(journal) = &self.0.journal {
            journal.flush().await?;
        }
        let mut items = self.items();
        items.safe = items.safe.max(number);
        drop(items);
        self.0.grew.notify_waiters();
        Ok(())
    }

    /// Adds an item, which is shown only once it is safe, and returns its number.
    fn add(&self, item: impl FnOnce(u64) -> Item) -> u64 {
        let mut items = self.items();
        items.count += 1;
        let item = item(items.count);
        // Under the lock: the journal has them in the order of their numbers.
        if let Some(journal) = &self.0.journal {
            journal.append(&item);
        }
        items.kept.push_back(item);
        if items.kept.len() > KEPT {
            items.kept.pop_front();
        }
        items.count
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
