//! Acknowledgements on their way: none of the app's is lost with a connection.

use std::collections::VecDeque;
use std::time::Duration;

use tidings_wire::Action;
use tidings_wire::action::Position;
use tokio::time::Instant;

/// An acknowledgement that was sent within this time before the connection ended may not have been carried out, though
/// it arrived: the service may have forgotten the connection first.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// Most of each kind that are kept, the newest. A message whose acknowledgement is dropped or lost is redelivered if it
/// needs a confirmation, and then acknowledged again.
const KEPT: usize = 4_096;

/// Confirmations of the app that the service may not have received.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    /// To send on the next connection.
    unsent: VecDeque<Action>,
    /// Sent on this connection, oldest first.
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    action: Action,
    /// A later ping has been answered, so this has arrived.
    arrived: bool,
}

impl Confirmations {
    /// Keeps an action that could not be sent, if it is a confirmation: a heartbeat or a state would be outdated.
    pub(crate) fn keep(&mut self, action: Action) {
        if is_confirmation(&action) {
            self.unsent.push_back(action);
            shorten(&mut self.unsent);
        }
    }

    /// The next action to send.
    pub(crate) fn next(&self) -> Option<&Action> {
        self.unsent.front()
    }

    /// Records that the next action has been sent.
    pub(crate) fn sent_next(&mut self, now: Instant) {
        if let Some(action) = self.unsent.pop_front() {
            self.sent(action, now);
        }
    }

    /// Keeps an action that was sent for as long as its arrival is in doubt.
    pub(crate) fn sent(&mut self, action: Action, now: Instant) {
        if is_confirmation(&action) {
            self.sent.push_back(Sent { at: now, action, arrived: false });
            self.forget(now);
            shorten(&mut self.sent);
        }
    }

    /// Records that a ping sent at `ping` has been answered: everything sent before it has arrived. TCP cannot prove
    /// that, because it accepts data for a peer that is gone.
    pub(crate) fn arrived_before(&mut self, ping: Instant) {
        for sent in self.sent.iter_mut().take_while(|sent| sent.at < ping) {
            sent.arrived = true;
        }
    }

    /// The connection ends or is replaced: actions in doubt are sent again on the next one, except acknowledgements up
    /// to `taken`, which one frame sums up, so that an overloaded service does not receive everything twice. Confirming
    /// twice changes nothing.
    pub(crate) fn doubt(&mut self, now: Instant, taken: Option<Position>) {
        self.forget(now);
        let summed_up = |action: &Action| matches!(action, Action::Ack(receipt) if Some(receipt.position) <= taken);
        for sent in std::mem::take(&mut self.sent).into_iter().rev() {
            self.unsent.push_front(sent.action);
        }
        self.unsent.retain(|action| !summed_up(action));
        shorten(&mut self.unsent);
    }

    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|sent| sent.arrived && now.duration_since(sent.at) > DOUBTFUL) {
            self.sent.pop_front();
        }
    }
}

fn is_confirmation(action: &Action) -> bool {
    match action {
        Action::Ack(_) | Action::Read(_) => true,
        Action::Ping | Action::Sync { .. } | Action::State { .. } => false,
    }
}

fn shorten<T>(queue: &mut VecDeque<T>) {
    queue.drain(..queue.len().saturating_sub(KEPT));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The acknowledgement of a position.
    fn ack(seq: u64) -> Action {
        let object = serde_json::json!({"action": "ack", "id": seq.to_string(), "epoch": 7, "seq": seq});
        serde_json::from_value(object).unwrap()
    }

    fn unsent(confirmations: &Confirmations) -> Vec<Action> {
        confirmations.unsent.iter().cloned().collect()
    }

    #[test]
    fn only_confirmations_are_kept() {
        let mut confirmations = Confirmations::default();
        confirmations.keep(Action::Ping);
        confirmations.keep(Action::Sync { after: Some(Position { epoch: 7, seq: 1 }), announced: None });
        confirmations.keep(ack(1));
        assert_eq!(unsent(&confirmations), [ack(1)]);
    }

    #[test]
    fn what_was_sent_is_in_doubt_until_a_later_ping_is_answered_and_some_seconds_more() {
        let (mut confirmations, start) = (Confirmations::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        confirmations.sent(ack(1), at(0));
        confirmations.sent(ack(2), at(20));
        confirmations.sent(ack(3), at(30));
        confirmations.sent(ack(4), at(31));
        confirmations.arrived_before(at(31));
        confirmations.doubt(at(35), None);
        // 3 has arrived, but only a moment ago; the fate of 4 is unknown.
        assert_eq!(unsent(&confirmations), [ack(3), ack(4)]);
    }

    #[test]
    fn a_silent_connection_leaves_everything_in_doubt() {
        let (mut confirmations, start) = (Confirmations::default(), Instant::now());
        confirmations.sent(ack(1), start);
        confirmations.keep(ack(2));
        confirmations.doubt(start + Duration::from_secs(300), None);
        assert_eq!(unsent(&confirmations), [ack(1), ack(2)]);
        confirmations.sent_next(start);
        assert_eq!(confirmations.next(), Some(&ack(2)));
    }

    #[test]
    fn neither_kind_grows_without_bound() {
        let (mut confirmations, now) = (Confirmations::default(), Instant::now());
        for seq in 0..=KEPT as u64 {
            confirmations.sent(ack(seq), now);
            confirmations.keep(ack(seq));
        }
        assert_eq!((confirmations.sent.len(), confirmations.unsent.len()), (KEPT, KEPT));
        confirmations.doubt(now, None);
        assert_eq!(confirmations.unsent.len(), KEPT);
        assert_eq!(confirmations.unsent.back(), Some(&ack(KEPT as u64)));
    }
}
