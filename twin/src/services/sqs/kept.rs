//! From the journal to the queues at a start, and back.
//!
//! A queue that the template does not have keeps its messages in the journal: the template may have it again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::now;
use super::queue::{QueueState, Stored};
use super::record::Record;
use crate::template::Queue;

/// Takes a record of the journal in. Its queue may be one that the template does not have.
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

/// The queue of a name, empty if it has not been seen.
fn state(states: &mut BTreeMap<String, QueueState>, queue: String) -> &mut QueueState {
    states.entry(queue).or_insert_with_key(|name| QueueState::new(undeclared(name)))
}

/// What the journal has to hold of these queues.
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

/// Leaves the queues that the template does not have to the journal.
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

/// What a queue is that the template does not have.
fn undeclared(name: &str) -> Queue {
    Queue {
        logical_id: name.to_owned(),
        name: name.to_owned(),
        url: String::new(),
        arn: String::new(),
        fifo: name.ends_with(".fifo"),
        content_based_deduplication: false,
        // So that no group is lost, whatever the queue says when it is there again.
        deduplicate_per_group: true,
        delay: Duration::ZERO,
        visibility_timeout: Duration::ZERO,
        retention: Duration::MAX,
        receive_wait: Duration::ZERO,
        max_message_bytes: usize::MAX,
        redrive: None,
    }
}
