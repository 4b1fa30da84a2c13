//! The table: every way from a function to a request, how the request is known on the wire, and what makes the
//! function send it. A kind of request without a row fails `tests/rights`, and a row whose fault meets no request its
//! cells.

use sam_twin::faults::Fault;

use super::{
    call::{Before, Call},
    scenarios::Scenario::{self, *},
};

/// One call, and the scenarios that lead to it.
pub(super) struct Row {
    pub(super) call: Call,
    /// What makes the function come here.
    pub(super) scenarios: &'static [Scenario],
}

impl Row {
    const fn skip(mut self, skip: u32) -> Self {
        self.call.skip = skip;
        self
    }

    const fn before(mut self, fault: Fault, operation: &'static str, contains: &'static [&'static str]) -> Self {
        self.call.before = Some(Before { fault, times: 1, operation, contains });
        self
    }

    /// A record fails first: this request of its function is throttled as often as the SDK tries it.
    const fn failed(mut self, operation: &'static str, contains: &'static [&'static str]) -> Self {
        self.call.before = Some(Before { fault: Fault::Throttle, times: 3, operation, contains });
        self
    }
}

const fn call(way: &'static str, contains: &'static [&'static str]) -> Call {
    Call { way, contains, skip: 0, before: None }
}

const fn row(way: &'static str, contains: &'static [&'static str], scenarios: &'static [Scenario]) -> Row {
    Row { call: call(way, contains), scenarios }
}

const FALLBACK: &[&str] = &["FallbackQueue", "{message}"];
const STEP_TIMER: &[&str] = &["LaterQueue", "{message}", r#"\"timer\":\"step\""#];
const AGAIN_TIMER: &[&str] = &["LaterQueue", "{message}", r#"\"timer\":\"again\""#];
const NOTED: &[&str] = &["{alice}", "last_used = :now"];
const ENTRY: &[&str] = &["{alice}", "m#"];

pub(super) const ROWS: &[Row] = &[
    row("connect: accept > apps.get > directory.get > GetItem", &["app#{app}"], &[Connect]),
    row("connect: accept > tokens.verify > devices.get > self.last_known > GetItem", &["d#{device}"], &[Connect]),
    row(
        "connect: accept > tokens.verify > self.note_use > devices.note_use > self.transact > TransactWriteItems",
        NOTED,
        &[Connect],
    ),
    row("connect: accept > connections.connect > TransactWriteItems", &["{alice}", "j#"], &[Connect, EndedBefore]),
    row("connect: admit > connections.of_user > Query", &["{alice}", "x#"], &[ConnectMany]),
    row("connect: evict > connections.bury > TransactWriteItems", &["{alice}", "tombstone"], &[ConnectMany]),
    row("connect: evict > connections.prune > DeleteItem", &["{alice}", "x#"], &[ConnectManyEnded]),
    row("connect: evict > gateway.post > PostToConnection", &[], &[ConnectMany]),
    row("connect: evict > gateway.close > DeleteConnection", &[], &[ConnectMany]),
    row("connect: admit > connections.bury > TransactWriteItems", &["{alice}", "tombstone"], &[ConnectAtOnce]),
    row(
        "deliver: withdraw_message > mailboxes.close > self.update_entry > UpdateItem",
        &["{alice}", "SET closed"],
        &[Withdraw],
    ),
    row("deliver: withdraw_message > mailboxes.find > Query", &["{alice}", "by_message"], &[WithdrawOld]),
    row("deliver: withdraw_message > users.view > Query", &["{alice}"], &[Withdraw]),
    row("deliver: place > mailboxes.close > self.update_entry > UpdateItem", &["{alice}", "SET closed"], &[Collapse]),
    row("deliver: deliver > steps.schedule > fallback.send > SendMessage", FALLBACK, &[Gone, Chain]),
    row("deliver: deliver > steps.schedule > timers.schedule > due.keep > PutItem", &["{message}#0#"], &[FarStep]),
    row("deliver: deliver > steps.schedule > timers.schedule > later.send > SendMessage", STEP_TIMER, &[LaterStep]),
    row("deliver: deliver > timers.schedule > later.send > SendMessage", AGAIN_TIMER, &[NeedConfirm]),
    row(
        "deliver: deliver > mailboxes.note_offline > self.update_entry > UpdateItem",
        &["{alice}", "offline_at"],
        &[Gone],
    ),
    row(
        "deliver: deliver > mailboxes.note_unanswered > self.update_entry > UpdateItem",
        &["{alice}", "SET unanswered"],
        &[Online],
    )
    .failed("PostToConnection", &[]),
    row("deliver: deliver > users.view > Query", &["{alice}"], &[Gone]).skip(1),
    row("deliver: redeliver > messages.is_cancelled > GetItem", &["{message}"], &[Redelivery]),
    row("deliver: redeliver > timers.schedule > due.keep > PutItem", &["{message}#again5"], &[FarRedelivery]),
    row("deliver: redeliver > timers.schedule > later.send > SendMessage", AGAIN_TIMER, &[Redelivery]),
    row("deliver: redeliver > mailboxes.entry > GetItem", ENTRY, &[Redelivery]),
    row(
        "deliver: redeliver > mailboxes.note_redelivered > self.update_entry > UpdateItem",
        &["{alice}", "SET redelivered"],
        &[Redelivery],
    ),
    row("deliver: redeliver > users.view > Query", &["{alice}"], &[Redelivery]),
    row("deliver: place > mailboxes.append > PutItem", &["{alice}", "{message}"], &[OnlineNext, TwoLanes, InOrder]),
    row(
        "deliver: place > mailboxes.append > self.begin_log > TransactWriteItems",
        &["{alice}", "{message}"],
        &[Online, TwoLanesAtFirst],
    ),
    row(
        "deliver: place > mailboxes.note_offline > self.update_entry > UpdateItem",
        &["{alice}", "offline_at"],
        &[GoneMeanwhile],
    ),
    row("deliver: place > users.view > Query", &["{alice}"], &[Online, InOrder]),
    row("deliver: place > users.view > presence > Query", &["{alice}", r#""x#""#], &[OnlineAmongMany]),
    row("deliver: place > users.view > tail > Query", &["{alice}", r#""m#""#], &[OnlineAmongMany]),
    row("deliver: place > messages.is_cancelled > GetItem", &["{message}"], &[Late]),
    row("deliver: place > mailboxes.find > Query", &["{alice}", "by_message"], &[Late, LateAgain]),
    row("deliver: place > mailboxes.entry > GetItem", ENTRY, &[Repeated, LateAgain]),
    row("deliver: post > gateway.post > PostToConnection", &[], &[Online, Redelivery]),
    row("deliver: settle > connections.prune > DeleteItem", &["{alice}", "x#"], &[Gone]),
    row(
        "deliver: handle > batches.each > visibility.change > ChangeMessageVisibilityBatch",
        &[],
        &[Online, Redelivery],
    )
    .failed("Query", &["{alice}"]),
    row("fallback: handle > batches.each > visibility.change > ChangeMessageVisibilityBatch", &[], &[Chain])
        .failed("Query", &["{alice}"]),
    row("fanout: handle > batches.each > visibility.change > ChangeMessageVisibilityBatch", &[], &[Push])
        .failed("GetItem", &["announcements#{app}|"]),
    row("timer: handle > batches.each > visibility.change > ChangeMessageVisibilityBatch", &[], &[DueStep])
        .failed("GetItem", ENTRY),
    row("disconnect: handle > connections.disconnect > UpdateItem", &["c#{connection}"], &[Disconnect]),
    row("disconnect: handle > connections.disconnect > self.prune > DeleteItem", &["x#{connection}"], &[Disconnect]),
    row("fanout: post_to > gateway.post > PostToConnection", &[], &[Push]),
    row("fanout: post_to > connections.prune > DeleteItem", &["{alice}", "x#"], &[PushToNobody]),
    row("fanout: push > announcements.get > self.item > GetItem", &["announcements#{app}|"], &[Push]),
    row("fanout: push > announcements.count_posts > UpdateItem", &["announcements#{app}|"], &[Push]),
    row("fanout: push > fanout.send > send_batch > SendMessageBatch", &["{app}"], &[PushAgain]),
    row("fanout: push > connections.connected > Query", &["{app}|#"], &[Push]),
    row(
        "fallback: record_outcome > claims.end > mailboxes.update_entry > UpdateItem",
        &["{alice}", "outcome ="],
        &[Chain, HookChain],
    ),
    row("fallback: under_claim > channels.call > emails.send > SendEmail", &[], &[Chain]),
    row("fallback: under_claim > channels.call > sms.send > Publish", &[], &[Chain]),
    row("fallback: step > steps.schedule > timers.schedule > later.send > SendMessage", STEP_TIMER, &[Comeback]),
    row("fallback: follow > steps.schedule > fallback.send > SendMessage", FALLBACK, &[Chain]),
    row("fallback: follow > steps.schedule > timers.schedule > due.keep > PutItem", &["{message}#1#"], &[FarChain]),
    row("fallback: follow > steps.schedule > timers.schedule > later.send > SendMessage", STEP_TIMER, &[SlowChain]),
    row(
        "fallback: schedule > steps.schedule > timers.schedule > due.keep > PutItem",
        &["{message}#0#"],
        &[PushMuchLater],
    ),
    row(
        "fallback: schedule > steps.schedule > timers.schedule > later.send > SendMessage",
        STEP_TIMER,
        &[PushLater, HookCut, HookBusy],
    ),
    row("fallback: under_claim > channels.call > pushes.send > clients.of > GetSecretValue", &["{app}"], &[PushChain]),
    row(
        "fallback: under_claim > channels.call > pushes.send#2 > clients.of > GetSecretValue",
        &["{app}"],
        &[HookChain],
    ),
    row("fallback: forget > devices.forget_push > UpdateItem", &["{alice}", "REMOVE push"], &[PushToTheDead]),
    row(
        "fallback: carry_out > claims.release > mailboxes.update_entry > UpdateItem",
        &["{alice}", "REMOVE progress[0].claimed"],
        &[PushWithoutSecret, PushLater],
    ),
    row("fallback: step > items.closed > GetItem", &["items#{app}|"], &[OpenItem, ClosedItem]),
    row("fallback: called_off > messages.is_cancelled > GetItem", &["{message}"], &[Chain]),
    row("fallback: called_off > items.closed > GetItem", &["items#{app}|"], &[OpenItem]).skip(1),
    row("fallback: claim > claims.claim > mailboxes.entry > GetItem", ENTRY, &[Chain]).skip(1).before(
        Fault::LoseAnswer,
        "UpdateItem",
        &["{alice}", "progress[0].claimed = "],
    ),
    row(
        "fallback: claim > claims.claim > mailboxes.update_entry > UpdateItem",
        &["{alice}", "progress[0].claimed = "],
        &[Chain, HookChain, HookCut, TwoWorkers, ConfirmedMeanwhile],
    ),
    row(
        "fallback: claim > claims.claim > again > mailboxes.update_entry > UpdateItem",
        &["{alice}", "progress[0].repeats = "],
        &[HookCut],
    ),
    row("fallback: step > mailboxes.entry > GetItem", ENTRY, &[Chain]),
    row("fallback: step > users.view > Query", &["{alice}"], &[Chain]),
    row("heartbeat: handle > connections.get > self.last_words > GetItem", &["c#"], &[Ping]),
    row("heartbeat: pong > connections.renew > TransactWriteItems", &["{alice}"], &[Ping]),
    row("heartbeat: pong > users.pulse > Query", &["{alice}"], &[Ping]),
    row("heartbeat: pong > users.pulse > head > Query", &["{alice}", r#""m#:""#], &[PingAmongOthers]),
    row("inbox: list > signed_request > apps.get > directory.get > GetItem", &["app#{app}"], &[Inbox]),
    row(
        "inbox: list > signed_request > tokens.verify > devices.get > self.last_known > GetItem",
        &["d#{device}"],
        &[Inbox],
    ),
    row(
        "inbox: list > signed_request > tokens.verify > self.note_use > devices.note_use > \
         self.transact > TransactWriteItems",
        NOTED,
        &[Inbox],
    ),
    row("inbox: list > mailboxes.before > self.backwards > Query", &["{alice}", "BETWEEN"], &[Inbox]),
    row("inbox: unread > signed_request > apps.get > directory.get > GetItem", &["app#{app}"], &[Unread]),
    row(
        "inbox: unread > signed_request > tokens.verify > devices.get > self.last_known > GetItem",
        &["d#{device}"],
        &[Unread],
    ),
    row(
        "inbox: unread > signed_request > tokens.verify > self.note_use > devices.note_use > \
         self.transact > TransactWriteItems",
        NOTED,
        &[Unread],
    ),
    row("inbox: unread > mailboxes.headers_before > self.backwards > Query", &["{alice}", "BETWEEN"], &[Unread]),
    row(
        "register: follow > users.change_preferences > UpdateItem",
        &["{alice}", "preferences"],
        &[Unsubscribe, UnsubscribeMore],
    ),
    row("register: follow > users.view > Query", &["{alice}"], &[Unsubscribe]),
    row("register: find > devices.get > self.last_known > GetItem", &["d#{device}"], &[Unregister]),
    row("register: find > users.presence > Query", &["{bob}"], &[Unregister]),
    row("register: close_sockets > connections.of_user > Query", &["{bob}", "begins_with"], &[Unregister, Move]),
    row("register: close_sockets > gateway.close > DeleteConnection", &[], &[Unregister, Move]),
    row("register: evict_surplus > users.presence > Query", &["{alice}"], &[Register, RegisterMany]),
    row(
        "register: forget > devices.unregister > self.leave > self.transact > TransactWriteItems",
        &["{bob}"],
        &[UnregisterMany],
    ),
    row(
        "register: forget > devices.unregister > self.transact > TransactWriteItems",
        &["SET user_key = :unowned"],
        &[Unregister, RegisterMany],
    ),
    row(
        "register: of_user > apps.authenticate > self.get > directory.get > GetItem",
        &["app#{app}"],
        &[UserPreferences],
    ),
    row("register: own > signed_request > apps.get > directory.get > GetItem", &["app#{app}"], &[ReadPreferences]),
    row(
        "register: own > signed_request > tokens.verify > devices.get > self.last_known > GetItem",
        &["d#{device}"],
        &[ReadPreferences],
    ),
    row(
        "register: own > signed_request > tokens.verify > self.note_use > devices.note_use > \
         self.transact > TransactWriteItems",
        NOTED,
        &[ReadPreferences],
    ),
    row("register: register > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Register]),
    row("register: register > devices.last_known > GetItem", &["d#{device}"], &[Register]),
    row(
        "register: register > devices.register > self.leave > self.transact > TransactWriteItems",
        &["{bob}"],
        &[MoveMany],
    ),
    row(
        "register: register > devices.register > self.transact > TransactWriteItems",
        &["d#{device}"],
        &[Register, Move],
    ),
    row("register: register > users.presence > Query", &["{bob}"], &[Move]),
    row("register: set > users.set_preferences > UpdateItem", &["{alice}", "preferences"], &[Preferences]),
    row(
        "register: set_for_user > apps.authenticate > self.get > directory.get > GetItem",
        &["app#{app}"],
        &[SetUserPreferences],
    ),
    row("register: set_own > signed_request > apps.get > directory.get > GetItem", &["app#{app}"], &[Preferences]),
    row(
        "register: set_own > signed_request > tokens.verify > devices.get > self.last_known > GetItem",
        &["d#{device}"],
        &[Preferences],
    ),
    row(
        "register: set_own > signed_request > tokens.verify > self.note_use > devices.note_use > \
         self.transact > TransactWriteItems",
        NOTED,
        &[Preferences],
    ),
    row("register: show > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[ShowDevice]),
    row("register: shown > users.view > Query", &["{alice}"], &[Preferences]),
    row("register: unregister > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Unregister]),
    row("send: announce > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Announce]),
    row("send: announce > announcements.announce > TransactWriteItems", &["announcements#{app}|"], &[Announce]),
    row(
        "send: announce > announcements.announce > self.receipt > self.item > GetItem",
        &["{announcement}"],
        &[AnnounceAgain],
    ),
    row(
        "send: announce > announcements.announce > self.heads > self.item > GetItem",
        &["announcements#{app}|", "head"],
        &[Announce],
    ),
    row("send: announce > fanout.send > send_batch > SendMessageBatch", &["{app}"], &[Announce]),
    row(
        "send: begin > lanes.deliver > enqueue > queue.send > send_batch > SendMessageBatch",
        &["{app}"],
        &[Online, Many],
    ),
    row("send: begin > timers.schedule > due.keep > PutItem", &["{message}#send"], &[SendFarLater]),
    row("send: begin > timers.schedule > later.send > SendMessage", &["LaterQueue", "{message}"], &[SendLater]),
    row("send: cancel > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Cancel]),
    row("send: cancel > lanes.withdraw > enqueue > queue.send > send_batch > SendMessageBatch", &["{app}"], &[Cancel]),
    row("send: cancel > messages.cancel > self.get > GetItem", &["{message}"], &[CancelAgain]).skip(1),
    row("send: cancel > messages.cancel > self.mark > UpdateItem", &["{message}"], &[Cancel]),
    row("send: cancel > messages.get > GetItem", &["{message}"], &[Cancel]),
    row("send: find > announcements.receipt > self.item > GetItem", &["{announcement}"], &[Retract]),
    row("send: item > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[ReadItem]),
    row("send: item > items.closed > GetItem", &["items#{app}|"], &[CloseItem]),
    row("send: set_item > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[CloseItem]),
    row("send: set_item > items.close > UpdateItem", &["items#{app}|"], &[CloseItem]),
    row("send: set_item > items.open > DeleteItem", &["items#{app}|"], &[ReopenItem]),
    row("send: list > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Announcements]),
    row("send: list > announcements.before > self.page > Query", &["announcements#{app}|"], &[Announcements]),
    row("send: one > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Announced]),
    row("send: one > announcements.get > self.item > GetItem", &["announcements#{app}|"], &[Announced]),
    row("send: recipients > devices.get > self.last_known > GetItem", &["d#{device}"], &[SendToDevice]),
    row("send: send > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Online]),
    row("send: accept > messages.get > GetItem", &["{message}"], &[RepeatAfterItsTime]),
    row("send: accept > messages.store > PutItem", &["{message}"], &[Online]),
    row("send: accept > messages.store > self.get > GetItem", &["{message}"], &[SendAgain]),
    row("send: show > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Trail]),
    row("send: show > messages.get > GetItem", &["{message}"], &[Trail]),
    row("send: show > mailboxes.entries_of > Query", &["{message}", "by_message"], &[Trail]),
    row("send: show > mailboxes.entries_of > self.get_all > BatchGetItem", &["{alice}"], &[Trail]),
    row("send: withdraw > apps.authenticate > self.get > directory.get > GetItem", &["app#{app}"], &[Retract]),
    row("send: withdraw > announcements.withdraw > UpdateItem", &["announcements#{app}|"], &[Retract]),
    row("sync: announce > announcements.after > self.page > Query", &["announcements#{app}|"], &[SyncAnnounced]),
    row("sync: announce > gateway.post > PostToConnection", &[], &[SyncAnnounced]),
    row(
        "sync: confirm > mailboxes.confirm > self.update_entry > UpdateItem",
        &["{alice}", "_by.#device"],
        &[Ack, Read, LastWords, LastLook],
    ),
    row("sync: confirm > users.view > Query", &["{alice}"], &[AckOfNothing]),
    row("sync: confirm_up_to > mailboxes.after > Query", &["{alice}", "BETWEEN"], &[AckUpTo]),
    row(
        "sync: confirm_up_to > mailboxes.confirm > self.update_entry > UpdateItem",
        &["{alice}", "acked_by"],
        &[AckUpTo],
    ),
    row("sync: confirm_up_to > devices.move_cursor > UpdateItem", &["{alice}", "cursor_seq"], &[AckUpTo]),
    row("sync: confirm_up_to > users.view > Query", &["{alice}"], &[AckUpTo]),
    row("sync: handle > connections.last_words > GetItem", &["c#"], &[Ack, LastWords]),
    row("sync: handle > connections.set_state > UpdateItem", &["{alice}", "app_state"], &[State]),
    row("sync: post > gateway.post > PostToConnection", &[], &[Sync]),
    row("sync: replay > mailboxes.after > Query", &["{alice}", "BETWEEN"], &[Sync]),
    row("sync: replay > devices.move_cursor > UpdateItem", &["{alice}", "cursor_seq"], &[Sync]),
    row("sync: replay > users.view > Query", &["{alice}"], &[Sync]),
    row("timer: begin > lanes.deliver > enqueue > queue.send > send_batch > SendMessageBatch", &["{app}"], &[SendNow]),
    row("timer: begin > messages.begin > self.mark > UpdateItem", &["{message}"], &[SendNow]),
    row(
        "timer: fire > lanes.redeliver > enqueue > queue.send > send_batch > SendMessageBatch",
        &["{app}"],
        &[Redelivery],
    ),
    row("timer: fire > steps.schedule > fallback.send > SendMessage", FALLBACK, &[DueStep]),
    row("timer: fire > timers.schedule > due.keep > PutItem", &["{message}#0#"], &[TooEarlyByFar]),
    row("timer: fire > timers.schedule > later.send > SendMessage", STEP_TIMER, &[TooEarly]),
    row("timer: fire > mailboxes.entry > GetItem", ENTRY, &[DueStep]),
    row("timer: tick > due.done_until > GetItem", &["cursor"], &[Tick]),
    row("timer: tick > due.minute > Query", &["DueTable"], &[Tick]),
    row("timer: tick > due.set_done_until > UpdateItem", &["done_minute"], &[Tick]),
    row("timer: tick > timers.hand_on > due.remove > DeleteItem", &["{message}#0#"], &[Tick]),
    row("timer: tick > timers.hand_on > later.send_body > SendMessage", STEP_TIMER, &[Tick]),
    // Root keys, read again when they are aged; by a process that has just started, for the first time.
    row("connect: verify > roots.keys_with > self.keys > fetch > GetSecretValue", &["TokenRootKeys"], &[Connect]),
    row("deliver: post > sealer.seal > content.keys_with > fetch > GetSecretValue", &["ContentRootKeys"], &[Online]),
    row(
        "fallback: under_claim > channels.call > emails.send > roots.keys > GetSecretValue",
        &["LinkRootKeys"],
        &[Chain],
    ),
    row(
        "fallback: under_claim > channels.call > pushes.send > sealer.seal > content.keys_with > GetSecretValue",
        &["ContentRootKeys"],
        &[PushChain],
    ),
    row("fanout: post_to > sealer.seal > content.keys_with > fetch > GetSecretValue", &["ContentRootKeys"], &[Push]),
    row("heartbeat: answer > sealer.seal > content.keys_with > fetch > GetSecretValue", &["ContentRootKeys"], &[Ping]),
    row("inbox: list > sealer.seal > content.keys_with > fetch > GetSecretValue", &["ContentRootKeys"], &[Inbox]),
    row("inbox: list > tokens.verify > roots.keys_with > fetch > GetSecretValue", &["TokenRootKeys"], &[Inbox]),
    row("register: register > roots.newest > content.keys > fetch > GetSecretValue", &["ContentRootKeys"], &[Register]),
    row("register: register > roots.newest > tokens.keys > fetch > GetSecretValue", &["TokenRootKeys"], &[Register]),
    row("register: open > links.keys_with > fetch > GetSecretValue", &["LinkRootKeys"], &[Unsubscribe]),
    row("sync: post > sealer.seal > content.keys_with > fetch > GetSecretValue", &["ContentRootKeys"], &[Sync]),
];
