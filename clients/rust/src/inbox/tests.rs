//! Frame by frame. Message *n* has the id `n`.

use super::*;
use tidings_wire::Content;
use tidings_wire::frame::Pong;

const EPOCH: u64 = 7;

fn at(seq: u64) -> Position {
    Position { epoch: EPOCH, seq }
}

pub(super) fn message(position: Option<Position>, id: &str) -> Frame {
    Frame::Message(Box::new(MessageFrame {
        id: id.to_owned(),
        position,
        device_id: "d".to_owned(),
        to_user_name: "alice".to_owned(),
        from_user_name: None,
        create_time: 0,
        content: Content::default(),
    }))
}

fn live(inbox: &mut Inbox, seq: u64) -> Vec<String> {
    brief(inbox.frame(message(Some(at(seq)), &seq.to_string()), String::new()))
}

fn answer(position: Position, recovered: bool, count: u64, more: bool) -> Frame {
    Frame::Synced(Synced { device_id: "d".to_owned(), position, recovered, more, count, posted: None, announced: None })
}

fn synced(inbox: &mut Inbox, seq: u64, count: u64, more: bool) -> Vec<String> {
    brief(inbox.frame(answer(at(seq), true, count, more), String::new()))
}

fn pong(inbox: &mut Inbox, position: Position) -> Vec<String> {
    let pong = Pong { device_id: "d".to_owned(), position, server_time: 0, next_ping: 60 };
    brief(inbox.frame(Frame::Pong(pong), String::new()))
}

/// The steps in short: `3` delivered, `?2` sync after 2, `!3` acknowledged, `~3` acknowledged again for a former run,
/// `=3` synced.
fn brief(steps: Vec<Step>) -> Vec<String> {
    steps
        .into_iter()
        .map(|step| match step {
            Step::Deliver(received) => received.message.id,
            Step::Send(Action::Sync { after, .. }) => format!("?{}", after.map_or(0, |at| at.seq)),
            Step::Send(Action::Ack(receipt)) => format!("!{}", receipt.position.seq),
            Step::AckAgain(receipt) => format!("~{}", receipt.position.seq),
            Step::Synced(synced) if !synced.recovered => format!("={} with a gap", synced.position.seq),
            Step::Synced(synced) => format!("={}", synced.position.seq),
            Step::GiveUp => "give up".to_owned(),
            Step::Send(other) => format!("{other:?}"),
        })
        .collect()
}

fn ready(seq: u64) -> Inbox {
    let mut inbox = Inbox::new(Some(at(seq)));
    assert_eq!(inbox.connected(), Action::Sync { after: Some(at(seq)), announced: None });
    assert_eq!(synced(&mut inbox, seq, 0, false), [format!("={seq}")]);
    inbox
}

#[test]
fn live_messages_pass_in_order() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 3), ["3"]);
    assert_eq!(live(&mut inbox, 4), ["4"]);
    assert_eq!(inbox.cursor(), Some(at(4)));
}

#[test]
fn a_gap_is_asked_for_and_comes_before_what_showed_it() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 5), ["?2"]);
    assert!(live(&mut inbox, 6).is_empty(), "one request is enough");
    assert!(live(&mut inbox, 4).is_empty());
    assert_eq!(live(&mut inbox, 3), ["3", "4", "5", "6"]);
    assert_eq!(synced(&mut inbox, 5, 3, false), ["=6"], "an app that keeps this must not go back");
    assert!(!inbox.awaits_replay());
}

#[test]
fn what_comes_live_waits_for_the_replay() {
    let mut inbox = Inbox::new(None);
    assert_eq!(inbox.connected(), Action::Sync { after: None, announced: None });
    assert!(live(&mut inbox, 3).is_empty());
    assert!(live(&mut inbox, 1).is_empty());
    assert!(brief(inbox.frame(message(None, "typing"), String::new())).is_empty());
    assert!(live(&mut inbox, 2).is_empty());
    assert_eq!(synced(&mut inbox, 2, 2, false), ["1", "2", "=2", "3", "typing"]);
}

#[test]
fn a_replay_in_pages_asks_on() {
    let mut inbox = Inbox::new(Some(at(0)));
    let _ = inbox.connected();
    assert_eq!(live(&mut inbox, 1), ["1"]);
    assert_eq!(synced(&mut inbox, 1, 1, true), ["=1", "?1"]);
    assert_eq!(live(&mut inbox, 2), ["2"]);
    assert_eq!(synced(&mut inbox, 2, 1, false), ["=2"]);
}

#[test]
fn an_answer_that_overtook_its_messages_waits_for_them() {
    let mut inbox = ready(0);
    let _ = inbox.connected();
    assert_eq!(live(&mut inbox, 1), ["1"]);
    assert!(synced(&mut inbox, 4, 3, false).is_empty());
    assert!(live(&mut inbox, 4).is_empty());
    assert_eq!(live(&mut inbox, 3), ["3", "4", "=4"], "2 was skipped");
}

#[test]
fn what_was_sent_and_did_not_come_is_never_passed() {
    let mut inbox = ready(0);
    for _ in 0..2 {
        let _ = inbox.connected();
        assert!(live(&mut inbox, 2).is_empty());
        for _ in 1..REPLAY_ATTEMPTS {
            assert!(synced(&mut inbox, 2, 2, false).is_empty());
            assert_eq!(brief(inbox.replay_overdue()), ["?0"]);
        }
        assert!(synced(&mut inbox, 2, 2, false).is_empty());
        assert_eq!(brief(inbox.replay_overdue()), ["give up"]);
        assert_eq!(inbox.cursor(), Some(at(0)));
    }
    let _ = inbox.connected();
    assert_eq!(live(&mut inbox, 1), ["1"]);
    assert_eq!(live(&mut inbox, 2), ["2"]);
}

#[test]
fn a_replay_without_an_answer_gives_the_connection_up() {
    let mut inbox = Inbox::new(None);
    let _ = inbox.connected();
    for _ in 1..REPLAY_ATTEMPTS {
        assert_eq!(brief(inbox.replay_overdue()), ["?0"]);
    }
    assert_eq!(brief(inbox.replay_overdue()), ["give up"]);
    assert!(brief(inbox.replay_overdue()).is_empty());
}

#[test]
fn a_service_that_could_not_send_the_first_one_is_asked_again_later() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 4), ["?2"]);
    assert!(synced(&mut inbox, 2, 0, true).is_empty(), "not at once: it may be throttled");
    assert_eq!(brief(inbox.replay_overdue()), ["?2"]);
}

#[test]
fn expired_entries_leave_no_hole() {
    let mut inbox = Inbox::new(Some(at(2)));
    let _ = inbox.connected();
    live(&mut inbox, 5);
    assert_eq!(synced(&mut inbox, 6, 1, false), ["5", "=6"]);
    assert_eq!(live(&mut inbox, 7), ["7"]);
}

#[test]
fn more_than_was_sent_proves_nothing() {
    let mut inbox = ready(2);
    // 4 came live and was cancelled then; the replay sent 6 and 7, of which 7 did not come.
    assert_eq!(live(&mut inbox, 4), ["?2"]);
    assert!(live(&mut inbox, 5).is_empty());
    assert!(live(&mut inbox, 6).is_empty());
    assert!(synced(&mut inbox, 7, 2, false).is_empty());
    assert_eq!(brief(inbox.replay_overdue()), ["?2"]);
    assert!(live(&mut inbox, 6).is_empty());
    assert!(synced(&mut inbox, 7, 2, false).is_empty());
    assert_eq!(live(&mut inbox, 7), ["6", "7", "=7"]);
}

#[test]
fn a_withdrawn_message_does_not_stand_in_for_one_that_is_missing() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 4), ["?2"]);
    assert!(live(&mut inbox, 6).is_empty());
    let Frame::Synced(answer) = answer(at(7), true, 2, false) else { panic!("an answer") };
    let named = Frame::Synced(Synced { posted: Some(vec![6, 7]), ..answer });
    assert!(brief(inbox.frame(named, String::new())).is_empty());
    assert_eq!(live(&mut inbox, 7), ["4", "6", "7", "=7"]);
}

#[test]
fn a_redelivery_is_confirmed_again_and_not_shown() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 3), ["3"]);
    assert!(live(&mut inbox, 3).is_empty(), "the app has not confirmed it");
    inbox.acknowledged(at(3));
    assert_eq!(live(&mut inbox, 3), ["!3"]);
}

#[test]
fn what_an_earlier_life_was_shown_is_confirmed_again_and_not_shown() {
    let mut inbox = ready(5);
    assert_eq!(live(&mut inbox, 4), ["~4"]);
    assert_eq!(live(&mut inbox, 5), ["~5"]);
    let older = Position { epoch: EPOCH - 1, seq: 9 };
    assert_eq!(brief(inbox.frame(message(Some(older), "old"), String::new())), ["~9"]);
    assert_eq!(inbox.cursor(), Some(at(5)));
}

#[test]
fn what_was_passed_over_is_neither_shown_nor_confirmed() {
    let mut inbox = ready(2);
    assert_eq!(live(&mut inbox, 5), ["?2"]);
    assert_eq!(synced(&mut inbox, 5, 1, false), ["5", "=5"]);
    assert!(live(&mut inbox, 4).is_empty());
}

#[test]
fn a_client_without_a_cursor_confirms_again_what_the_service_knows_as_shown() {
    let mut inbox = Inbox::new(None);
    let _ = inbox.connected();
    live(&mut inbox, 5);
    assert_eq!(synced(&mut inbox, 5, 1, false), ["5", "=5"]);
    assert_eq!(live(&mut inbox, 4), ["~4"]);
    assert!(live(&mut inbox, 5).is_empty());
}

#[test]
fn a_redelivery_before_the_first_answer_waits_for_it() {
    let mut inbox = Inbox::new(Some(at(5)));
    let _ = inbox.connected();
    assert!(live(&mut inbox, 4).is_empty(), "the cursor may belong to another mailbox");
    assert_eq!(live(&mut inbox, 6), ["6", "~4"]);
    assert_eq!(synced(&mut inbox, 6, 1, false), ["=6"]);
}

#[test]
fn a_cursor_of_another_mailbox_is_forgotten() {
    let mut inbox = Inbox::new(Some(at(5)));
    let _ = inbox.connected();
    let other = |seq| Position { epoch: EPOCH - 1, seq };
    assert!(brief(inbox.frame(message(Some(other(1)), "a"), String::new())).is_empty());
    let foreign = inbox.frame(answer(other(2), false, 2, false), String::new());
    assert_eq!(foreign, [Step::Send(Action::Sync { after: Some(Position { epoch: 0, seq: 0 }), announced: None })]);
    assert_eq!(brief(inbox.frame(message(Some(other(1)), "a"), String::new())), ["a"]);
    assert_eq!(brief(inbox.frame(message(Some(other(2)), "b"), String::new())), ["b"]);
    assert_eq!(brief(inbox.frame(answer(other(2), true, 2, false), String::new())), ["=2 with a gap"]);
    assert_eq!(inbox.cursor(), Some(other(2)));
}

#[test]
fn a_late_answer_does_not_set_the_cursor_back() {
    let mut inbox = ready(5);
    assert_eq!(live(&mut inbox, 7), ["?5"]);
    assert!(brief(inbox.frame(answer(at(3), false, 3, false), String::new())).is_empty());
    assert_eq!(inbox.cursor(), Some(at(5)));
    assert_eq!(synced(&mut inbox, 7, 1, false), ["7", "=7"]);
    assert!(synced(&mut inbox, 6, 1, false).is_empty());
    assert_eq!(synced(&mut inbox, 9, 2, false), ["?7"], "the answer shows that there is more");
}

#[test]
fn the_first_message_of_an_empty_mailbox_needs_no_question() {
    let mut inbox = ready(0);
    let first = Position { epoch: 99, seq: 1 };
    assert_eq!(brief(inbox.frame(message(Some(first), "a"), String::new())), ["a"]);
    assert_eq!(inbox.cursor(), Some(first));
}

#[test]
fn another_epoch_is_a_gap() {
    let mut inbox = ready(3);
    let other = Position { epoch: EPOCH + 1, seq: 1 };
    assert_eq!(brief(inbox.frame(message(Some(other), "a"), String::new())), ["?3"]);
    assert_eq!(brief(inbox.frame(answer(other, false, 1, false), String::new())), ["a", "=1 with a gap"]);
    assert_eq!(inbox.cursor(), Some(other));
}

#[test]
fn a_pong_that_is_ahead_shows_a_gap() {
    let mut inbox = ready(3);
    assert!(pong(&mut inbox, at(3)).is_empty());
    assert!(pong(&mut inbox, at(2)).is_empty(), "it was late");
    assert_eq!(pong(&mut inbox, at(4)), ["?3"]);
    assert!(pong(&mut inbox, at(5)).is_empty(), "one request is enough");
    assert_eq!(live(&mut inbox, 4), ["4"]);
    assert_eq!(synced(&mut inbox, 4, 1, false), ["=4", "?4"], "and 5 is not forgotten");
    assert_eq!(synced(&mut inbox, 5, 0, false), ["=5"]);
}

#[test]
fn a_rollover_asks_again_and_keeps_what_is_held() {
    let mut inbox = ready(3);
    assert_eq!(live(&mut inbox, 5), ["?3"]);
    assert_eq!(inbox.rolled_over(), Action::Sync { after: Some(at(3)), announced: None });
    assert_eq!(live(&mut inbox, 4), ["4", "5"]);
    assert_eq!(synced(&mut inbox, 5, 2, false), ["=5"]);
}

#[test]
fn what_is_held_is_bounded_and_what_was_dropped_is_asked_for() {
    let mut inbox = ready(0);
    let end = HELD as u64 + 10;
    for seq in 2..=end {
        live(&mut inbox, seq);
    }
    assert_eq!(inbox.held.len(), HELD);
    let shown = live(&mut inbox, 1);
    let last = HELD as u64 + 1;
    assert_eq!(shown.len() as u64, last);
    assert_eq!(synced(&mut inbox, last, last, false), [format!("={last}"), format!("?{last}")]);
}

#[test]
fn places_are_forgotten_from_the_oldest() {
    let mut inbox = ready(0);
    for seq in 1..=KNOWN as u64 + 1 {
        assert_eq!(live(&mut inbox, seq).len(), 1);
    }
    assert_eq!(inbox.delivered.len(), KNOWN);
    assert_eq!(live(&mut inbox, 1), ["~1"]);
    assert!(live(&mut inbox, 2).is_empty());
}

#[test]
fn any_order_of_arrival_is_delivered_in_order_and_once() {
    // Every order of five live messages, with the replay that the first gap asks for answered at the end.
    let mut orders = vec![vec![]];
    for _ in 0..5 {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<u64>| {
                (1..=5).filter(|n| !order.contains(n)).map(|n| [order.clone(), vec![n]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut inbox = ready(0);
        let mut delivered = Vec::new();
        for &seq in &order {
            delivered.extend(live(&mut inbox, seq));
        }
        if inbox.awaits_replay() {
            delivered.extend(synced(&mut inbox, 5, 5, false));
        }
        assert!(!inbox.awaits_replay());
        delivered.retain(|step| step.parse::<u64>().is_ok());
        assert_eq!(delivered, ["1", "2", "3", "4", "5"], "{order:?}");
    }
}

#[test]
fn equal_inboxes_have_equal_hashes() {
    let hash = |inbox: &Inbox| {
        let mut hasher = std::hash::DefaultHasher::new();
        inbox.hash(&mut hasher);
        hasher.finish()
    };
    let (mut one, mut other) = (ready(2), ready(2));
    assert_eq!((&one, hash(&one)), (&other, hash(&other)));
    live(&mut one, 4);
    assert_ne!(one, other);
    assert_ne!(hash(&one), hash(&other));
    live(&mut other, 4);
    assert_eq!((&one, hash(&one)), (&other, hash(&other)));
}

#[test]
fn ids_are_forgotten_one_by_one() {
    let mut seen = Seen::default();
    for id in 0..=REMEMBERED {
        assert!(seen.is_first(&id.to_string()));
    }
    assert!(!seen.is_first("1"));
    assert!(seen.is_first("0"));
    assert_eq!(seen.ids.len(), REMEMBERED);
}
