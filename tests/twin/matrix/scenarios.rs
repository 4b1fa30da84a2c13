//! The operations in which a function sends a request, and the conditions that must hold in the end, whatever fails in
//! between.

mod announcements;
mod devices;
mod fallbacks;
mod messages;
mod sockets;

use super::cell::Cell;

/// Defines each scenario once: its description, its name, and its function on a cell.
macro_rules! scenarios {
    ($cell:ident, $($(#[$doc:meta])* $name:ident => $play:expr,)*) => {
        /// A scenario. Each starts with its own app, arms the fault at its first step of interest, acts as real clients
        /// and backends do until they succeed, and checks the stored and shown data in the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Scenario {
            $($(#[$doc])* $name,)*
        }

        impl Scenario {
            pub(super) async fn play(self, $cell: &Cell) {
                match self {
                    $(Self::$name => $play.await,)*
                }
            }
        }
    };
}

scenarios! {
    cell,

    /// A device is registered for the first time.
    Register => devices::register(cell),
    /// A device is registered whose user has reached the limit: another one is evicted.
    RegisterMany => devices::register_many(cell),
    /// A device moves to another user.
    Move => devices::change_hands(cell, false),
    /// The same for one that holds more sockets than one transaction can bury.
    MoveMany => devices::change_hands(cell, true),
    /// A device is unregistered.
    Unregister => devices::unregister(cell, false),
    /// The same for one that holds more sockets than one transaction can bury.
    UnregisterMany => devices::unregister(cell, true),

    /// A device connects.
    Connect => sockets::connect(cell),
    /// A device connects that has reached its limit of sockets: another one is evicted.
    ConnectMany => sockets::connect_many(cell, false),
    /// The same for a device whose older sockets have ended, and whose `$disconnect`s failed half-way.
    ConnectManyEnded => sockets::connect_many(cell, true),
    /// A device connects whose limit of sockets is reached by ones that were opened just before: it is refused.
    ConnectAtOnce => sockets::connect_at_once(cell),
    /// A `$disconnect` is handled before its `$connect`.
    EndedBefore => sockets::ended_before(cell),
    /// A socket is closed.
    Disconnect => sockets::disconnect(cell),
    /// A ping whose lease is half spent.
    Ping => sockets::ping(cell),
    /// A ping of a user who has another connection.
    PingAmongOthers => sockets::ping_among_others(cell),
    /// A device asks for the messages that it has missed.
    Sync => sockets::sync(cell),
    /// A device acknowledges a message.
    Ack => sockets::confirm(cell, "ack"),
    /// A device acknowledges one just before its connection ends.
    LastWords => sockets::last_words(cell, "ack"),
    /// A person reads one just before the connection ends.
    LastLook => sockets::last_words(cell, "read"),
    /// A person reads a message.
    Read => sockets::confirm(cell, "read"),
    /// A device acknowledges a message that does not exist.
    AckOfNothing => sockets::confirm_nothing(cell),
    /// A device acknowledges everything up to a position.
    AckUpTo => sockets::confirm_up_to(cell),
    /// A device reports that it is in use.
    State => sockets::state(cell),
    /// A device lists its inbox.
    Inbox => devices::list(cell),
    /// A device requests the count of unread messages.
    Unread => devices::count(cell),
    /// A device sets its user's preferences, and reads them.
    Preferences => devices::prefer(cell),
    /// A device reads its user's preferences.
    ReadPreferences => devices::preferences(cell),
    /// A backend sets a user's preferences.
    SetUserPreferences => devices::set_user_preferences(cell),
    /// A backend reads a user's preferences.
    UserPreferences => devices::user_preferences(cell),
    /// A backend reads a device.
    ShowDevice => devices::show(cell),
    /// A person follows the link in an email.
    Unsubscribe => devices::unsubscribe(cell),
    /// The same for a person who has preferences already.
    UnsubscribeMore => devices::unsubscribe_more(cell),

    /// A message is sent to a connected device, and acknowledged.
    Online => messages::online(cell, 0),
    /// The same to a user who has messages already.
    OnlineNext => messages::online(cell, 1),
    /// The same to a user who has many devices.
    OnlineAmongMany => messages::online_among_many(cell),
    /// Messages for one user come by two lanes at once.
    TwoLanes => messages::two_lanes(cell, 1),
    /// The same for the first ones of a user.
    TwoLanesAtFirst => messages::two_lanes(cell, 0),
    /// Messages for one user come by one lane.
    InOrder => messages::in_order(cell),
    /// A message to thirty users.
    Many => messages::many(cell),
    /// A message is sent once more under its key.
    SendAgain => messages::send_again(cell),
    /// A message to a device id.
    SendToDevice => messages::send_to_device(cell),
    /// A message is to be sent in minutes.
    SendLater => messages::send_later(cell),
    /// A message is to be sent in an hour.
    SendFarLater => messages::send_far_later(cell),
    /// The time of a message that was to be sent later has come.
    SendNow => messages::send_now(cell),
    /// A message that was due is sent once more under its key.
    RepeatAfterItsTime => messages::repeat_after_its_time(cell),
    /// A delivery comes minutes late.
    Late => messages::late(cell, false),
    /// A delivery comes minutes late, and its message is in the mailbox already.
    LateAgain => messages::late(cell, true),
    /// A delivery is received again.
    Repeated => messages::repeated(cell),
    /// A message is cancelled.
    Cancel => messages::cancel(cell),
    /// A message is cancelled once more.
    CancelAgain => messages::cancel_again(cell),
    /// A cancelled message is withdrawn from a mailbox.
    Withdraw => messages::withdraw(cell, false),
    /// The same for one that the mailbox's window has forgotten.
    WithdrawOld => messages::withdraw(cell, true),
    /// A message replaces another one.
    Collapse => messages::collapse(cell),
    /// A message that is to be confirmed is delivered.
    NeedConfirm => messages::need_confirm(cell),
    /// A message that no device has confirmed is redelivered.
    Redelivery => messages::redelivery(cell),
    /// It has been redelivered so often that the next time is hours ahead.
    FarRedelivery => messages::far_redelivery(cell),
    /// A trail is read.
    Trail => messages::trail(cell),

    /// Something is announced.
    Announce => announcements::announce(cell, false),
    /// It is announced once more under its key.
    AnnounceAgain => announcements::announce(cell, true),
    /// Announcements are listed.
    Announcements => announcements::list(cell),
    /// One announcement is read.
    Announced => announcements::one(cell),
    /// One is withdrawn.
    Retract => announcements::withdraw(cell),
    /// A device asks for announcements.
    SyncAnnounced => announcements::sync(cell),
    /// An announcement is pushed to a connected device.
    Push => announcements::push(cell, false),
    /// The same to a device that cannot be posted to at that moment.
    PushAgain => announcements::push(cell, true),
    /// The same to a device that has gone.
    PushToNobody => announcements::push_to_nobody(cell),

    /// The only connection turns out to be gone.
    Gone => fallbacks::gone(cell),
    /// It was gone, and its worker died before it recorded that.
    GoneMeanwhile => fallbacks::gone_meanwhile(cell),
    /// No device is connected: an SMS, then an email at once.
    Chain => fallbacks::chain(cell),
    /// An SMS, then an email minutes later.
    SlowChain => fallbacks::slow_chain(cell),
    /// An SMS, then an email a quarter of an hour and more later.
    FarChain => fallbacks::far_chain(cell),
    /// The time of a step has come.
    DueStep => fallbacks::due_step(cell),
    /// An SMS after minutes.
    LaterStep => fallbacks::later_step(cell),
    /// An SMS after a quarter of an hour and more.
    FarStep => fallbacks::far_step(cell),
    /// One step comes to two workers at once.
    TwoWorkers => fallbacks::two_workers(cell),
    /// A device confirms just before a step is claimed.
    ConfirmedMeanwhile => fallbacks::confirmed_meanwhile(cell),
    /// A device has come back before the SMS.
    Comeback => fallbacks::comeback(cell),
    /// A push, then an SMS at once.
    PushChain => fallbacks::push_chain(cell),
    /// The provider cannot take a push, and is asked again.
    PushLater => fallbacks::push_later(cell),
    /// The provider asks for a pause of an hour, and no other step would reach the person.
    PushMuchLater => fallbacks::push_much_later(cell),
    /// The credentials cannot be read at first.
    PushWithoutSecret => fallbacks::push_without_secret(cell),
    /// The device's address is dead.
    PushToTheDead => fallbacks::push_to_the_dead(cell),
    /// A call of the app's server, then an SMS at once.
    HookChain => fallbacks::hook_chain(cell),
    /// The same with an answer that is cut off.
    HookCut => fallbacks::hook_cut(cell, false),
    /// The same with an answer that is cut off, and a server that is busy when it is called again.
    HookBusy => fallbacks::hook_cut(cell, true),
    /// An SMS and an email about an item that is open.
    OpenItem => fallbacks::open_item(cell),
    /// The same about one that is closed.
    ClosedItem => fallbacks::closed_item(cell),
    /// An item is closed.
    CloseItem => fallbacks::set_item(cell, false),
    /// It is reopened.
    ReopenItem => fallbacks::set_item(cell, true),
    /// A backend reads an item.
    ReadItem => fallbacks::read_item(cell),
    /// A timer comes minutes before its time.
    TooEarly => fallbacks::too_early(cell),
    /// A timer comes so early that no queue can hold it.
    TooEarlyByFar => fallbacks::too_early_by_far(cell),
    /// A tick hands on the timers that have come within the queue's delay.
    Tick => fallbacks::tick(cell),
}
