//! The queues' journal: read into the queues at a start, and written from them.
//!
//! The messages of a queue that is gone from the template stay in the journal, in case the queue returns.

use std::collections::BTreeMap;
use std::time::Duration;

use super::now;
use super::queue::{QueueState, Stored};
use super::record::Record;
use crate::template::Queue;

/// Applies a record of the journal. Its queue need not be in the template.
pub(super) fn replay(states: &mut BTreeMap<String, QueueState>, record: Record) {
    match record {
        Record::Sent { queue, sequence, visible_at, message } => {
            state(states, queue).restore(Stored { message, sequence, visible_at });
        }
        Record::Received { queue, sequence, receives, first_received_at } => {
            state(states, queue).restore_receives(sequence, receives, first_received_at);
        }
        Record::Deleted { queue, sequence } => drop(state(states, queue).remove(sequence)),
        Record::Remembered { queue, group, deduplication_id, message_id, sequence, sent_at } => {
            state(states, queue).remember(group, Some(deduplication_id), &message_id, sequence, sent_at);
        }
    }
}

/// The queue of a name; an empty one if it is new.
fn state(states: &mut BTreeMap<String, QueueState>, queue: String) -> &mut QueueState {
    states.entry(queue).or_insert_with_key(|name| QueueState::new(undeclared(name)))
}

/// The records by which the journal keeps these queues.
pub(super) fn records(states: &BTreeMap<String, QueueState>) -> impl Iterator<Item = Record> {
    let now = now();
    states.iter().flat_map(move |(queue, state)| {
        let sent = state.stored().map(|Stored { message, sequence, visible_at }| Record::Sent {
            queue: queue.clone(),
            sequence,
            visible_at,
            message,
        });
        let remembered = state.remembered(now).map(|(group, id, message_id, sequence, sent_at)| Record::Remembered {
            queue: queue.clone(),
            group: group.map(str::to_owned),
            deduplication_id: id.to_owned(),
            message_id: message_id.to_owned(),
            sequence,
            sent_at,
        });
        sent.chain(remembered)
    })
}

/// Takes out the queues that the template does not have; the journal keeps them.
pub(super) fn set_aside(states: &mut BTreeMap<String, QueueState>, declared: &[Queue]) {
    states.retain(|name, state| {
        let is_declared = declared.iter().any(|queue| queue.name == *name);
        let messages = state.stored().count();
        if !is_declared && messages > 0 {
            tracing::warn!("the template has no queue {name}: its {messages} messages stay in the data folder");
        }
        is_declared
    });
}

/// A stand-in for a queue that the template does not have.
fn undeclared(name: &str) -> Queue {
    Queue {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        url: String::new(),
        arn: String::new(),
        fifo: name.ends_with(".fifo"),
        content_based_deduplication: false,
        // So that no group is lost, whatever the queue's setting when it returns.
        deduplicate_per_group: true,
        delay: Duration::ZERO,
        visibility_timeout: Duration::ZERO,
        retention: Duration::MAX,
        receive_wait: Duration::ZERO,
        max_message_bytes: usize::MAX,
        redrive: None,
    }
}
