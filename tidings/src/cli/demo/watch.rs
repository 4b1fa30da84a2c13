//! Waiting for a condition, and keeping the last observation.

use std::cell::RefCell;
use std::time::Duration;

use tidings_client::{Event, Events};

use sam_twin::cli::failure::Failure;

/// How often a condition is polled if no event reports it.
const PACE: Duration = Duration::from_millis(100);

/// The last observation of a step, for its error.
#[derive(Debug, Default)]
pub(super) struct Seen(RefCell<Option<String>>);

impl Seen {
    pub(super) fn note(&self, what: impl Into<String>) {
        *self.0.borrow_mut() = Some(what.into());
    }

    pub(super) fn last(&self) -> String {
        self.0.borrow().clone().unwrap_or_else(|| "nothing".to_owned())
    }
}

/// Polls until `look` returns a value. The step's deadline ends it.
pub(super) async fn until<T>(mut look: impl AsyncFnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The events of a device, kept until a step asks for them: a pong may come before the event that an earlier step waits
/// for.
#[derive(Debug)]
pub(super) struct Watched {
    events: Events,
    kept: Vec<Event>,
}

impl Watched {
    pub(super) fn new(events: Events) -> Self {
        Self { events, kept: Vec::new() }
    }

    /// The first event, kept or next, that `wanted` accepts. The end of the device is a failure.
    pub(super) async fn next<T>(&mut self, seen: &Seen, wanted: impl Fn(&Event) -> Option<T>) -> Result<T, Failure> {
        if let Some((at, found)) = self.kept.iter().enumerate().find_map(|(at, event)| Some((at, wanted(event)?))) {
            self.kept.remove(at);
            return Ok(found);
        }
        while let Some(event) = self.events.next().await {
            seen.note(described(&event));
            match wanted(&event) {
                Some(found) => return Ok(found),
                None => self.kept.push(event),
            }
        }
        Err(Failure::new(format!("the device ended: {}", seen.last())))
    }

    /// The kept events, in the order of their arrival.
    pub(super) fn kept(&self) -> &[Event] {
        &self.kept
    }
}

fn described(event: &Event) -> String {
    match event {
        Event::Connected => "the device connected".to_owned(),
        Event::Synced(synced) => format!("the replay ended at place {}", synced.position.seq),
        Event::Message(received) => format!("the message {}", received.message.id),
        Event::Announcement(announcement) => format!("the announcement {}", announcement.id),
        Event::Pong(_) => "a pong".to_owned(),
        Event::RolledOver => "the device moved to a new socket".to_owned(),
        Event::Refused(error) => format!("the service refused: {} ({})", error.detail, error.code),
        Event::Unreadable(unreadable) => format!("{unreadable}"),
        Event::Disconnected { loss, .. } => loss.to_string(),
        Event::Closed(reason) => reason.to_string(),
    }
}
