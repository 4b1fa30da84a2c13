//! Acknowledgements on their way: none that the app has said is lost with a connection.

use std::collections::VecDeque;
use std::time::Duration;

use tidings_wire::Action;
use tidings_wire::action::Position;
use tokio::time::Instant;

/// An acknowledgement that was said so shortly before the connection ended may not have been carried out, even though
/// it was carried: the service may have forgotten the connection first.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// So many of each kind are kept at most, the newest. A message whose acknowledgement is dropped or lost all the same
/// is sent again where somebody waits for it, and then acknowledged again.
const KEPT: usize = 4_096;

/// What the app confirmed and the service may not have heard.
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    /// To be said on the next connection.
    unsaid: VecDeque<Action>,
    /// Said on this connection, oldest first.
    said: VecDeque<Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    action: Action,
    /// A ping that was said later has been answered, so this has arrived.
    arrived: bool,
}

impl Confirmations {
    /// Keeps what could not be said, if it is a confirmation: a heartbeat or a state is about its own moment.
    pub(crate) fn keep(&mut self, action: Action) {
        if is_confirmation(&action) {
            self.unsaid.push_back(action);
            shorten(&mut self.unsaid);
        }
    }

    /// What is to be said next.
    pub(crate) fn next(&self) -> Option<&Action> {
        self.unsaid.front()
    }

    /// What was to be said next has been said.
    pub(crate) fn said_next(&mut self, now: Instant) {
        if let Some(action) = self.unsaid.pop_front() {
            self.said(action, now);
        }
    }

    /// Remembers what was said for as long as it is in doubt.
    pub(crate) fn said(&mut self, action: Action, now: Instant) {
        if is_confirmation(&action) {
            self.said.push_back(Said { at: now, action, arrived: false });
            self.forget(now);
            shorten(&mut self.said);
        }
    }

    /// A ping that was said then has been answered: what was said before it has arrived. TCP alone tells nothing of
    /// that; it takes words for a peer that is long gone.
    pub(crate) fn arrived_before(&mut self, ping: Instant) {
        for said in self.said.iter_mut().take_while(|said| said.at < ping) {
            said.arrived = true;
        }
    }

    /// The connection ends, or another one takes its place: what is in doubt is said again on the next one, but for
    /// acknowledgements up to `taken`, which one word sums up. A service that is overloaded must not be told everything
    /// twice. Confirming twice changes nothing.
    pub(crate) fn doubt(&mut self, now: Instant, taken: Option<Position>) {
        self.forget(now);
        let summed_up = |action: &Action| matches!(action, Action::Ack(receipt) if Some(receipt.position) <= taken);
        for said in std::mem::take(&mut self.said).into_iter().rev() {
            self.unsaid.push_front(said.action);
        }
        self.unsaid.retain(|action| !summed_up(action));
        shorten(&mut self.unsaid);
    }

    fn forget(&mut self, now: Instant) {
        while self.said.front().is_some_and(|said| said.arrived && now.duration_since(said.at) > DOUBTFUL) {
            self.said.pop_front();
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

    /// The acknowledgement of a place.
    fn ack(seq: u64) -> Action {
        let object = serde_json::json!({"action": "ack", "id": seq.to_string(), "epoch": 7, "seq": seq});
        serde_json::from_value(object).unwrap()
    }

    fn unsaid(confirmations: &Confirmations) -> Vec<Action> {
        confirmations.unsaid.iter().cloned().collect()
    }

    #[test]
    fn only_confirmations_are_kept() {
        let mut confirmations = Confirmations::default();
        confirmations.keep(Action::Ping);
        confirmations.keep(Action::Sync { after: Some(Position { epoch: 7, seq: 1 }), announced: None });
        confirmations.keep(ack(1));
        assert_eq!(unsaid(&confirmations), [ack(1)]);
    }

    #[test]
    fn what_was_said_is_in_doubt_until_a_later_ping_is_answered_and_some_seconds_more() {
        let (mut confirmations, start) = (Confirmations::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        confirmations.said(ack(1), at(0));
        confirmations.said(ack(2), at(20));
        confirmations.said(ack(3), at(30));
        confirmations.said(ack(4), at(31));
        confirmations.arrived_before(at(31));
        confirmations.doubt(at(35), None);
        // 3 has arrived, but a moment ago; of 4 nothing is known.
        assert_eq!(unsaid(&confirmations), [ack(3), ack(4)]);
    }

    #[test]
    fn a_silent_connection_leaves_everything_in_doubt() {
        let (mut confirmations, start) = (Confirmations::default(), Instant::now());
        confirmations.said(ack(1), start);
        confirmations.keep(ack(2));
        confirmations.doubt(start + Duration::from_secs(300), None);
        assert_eq!(unsaid(&confirmations), [ack(1), ack(2)]);
        confirmations.said_next(start);
        assert_eq!(confirmations.next(), Some(&ack(2)));
    }

    #[test]
    fn neither_kind_grows_without_bound() {
        let (mut confirmations, now) = (Confirmations::default(), Instant::now());
        for seq in 0..=KEPT as u64 {
            confirmations.said(ack(seq), now);
            confirmations.keep(ack(seq));
        }
        assert_eq!((confirmations.said.len(), confirmations.unsaid.len()), (KEPT, KEPT));
        confirmations.doubt(now, None);
        assert_eq!(confirmations.unsaid.len(), KEPT);
        assert_eq!(confirmations.unsaid.back(), Some(&ack(KEPT as u64)));
    }
}
