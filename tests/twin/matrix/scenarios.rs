//! What makes a function send a request, and what must be true when everything is over, whatever went wrong in between.

mod announcements;
mod devices;
mod fallbacks;
mod messages;
mod sockets;

use super::cell::Cell;

/// A scenario. Each begins with an app of its own, lets the fault strike from its first step of interest on, does
/// what real clients and backends do until they have what they want, and checks what is stored and shown in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A device is registered for the first time.
    Register,
    /// A device moves to another user.
    Move,
    /// So does one that holds more sockets than one transaction can bury.
    MoveMany,
    /// A device is unregistered.
    Unregister,
    /// So is one that holds more sockets than one transaction can bury.
    UnregisterMany,

    /// A device connects.
    Connect,
    /// A `$disconnect` is handled before its `$connect`.
    EndedBefore,
    /// A socket is closed.
    Disconnect,
    /// A ping whose lease is half spent.
    Ping,
    /// A device asks for what it missed.
    Sync,
    /// A device acknowledges a message.
    Ack,
    /// It does so just before its end.
    LastWords,
    /// A person reads a message.
    Read,
    /// A device acknowledges what is not there.
    AckOfNothing,
    /// A device acknowledges everything up to a place.
    AckUpTo,
    /// A device says that it is in use.
    State,
    /// A device lists its inbox.
    Inbox,
    /// A device asks how much of it is unread.
    Unread,
    /// A device sets what its user wants to be told of, and reads it again.
    Preferences,
    /// A device reads what its user wants to be told of.
    ReadPreferences,
    /// A backend sets what a user wants to be told of.
    SetUserPreferences,
    /// A backend reads what a user wants to be told of.
    UserPreferences,
    /// A backend asks for a device.
    ShowDevice,
    /// A person follows the link in an email.
    Unsubscribe,

    /// A message is sent to a device that is there, and acknowledged.
    Online,
    /// So is one to a user who has messages already.
    OnlineNext,
    /// Messages for one user come by two lanes at once.
    TwoLanes,
    /// So do the first ones that the user is ever sent.
    TwoLanesAtFirst,
    /// Messages for one user come by one lane.
    InOrder,
    /// A message to thirty users.
    Many,
    /// A message is sent once more under its key.
    SendAgain,
    /// A message to a device id.
    SendToDevice,
    /// A message is to be sent in minutes.
    SendLater,
    /// A message is to be sent in an hour.
    SendFarLater,
    /// The time of a message that was to be sent later has come.
    SendNow,
    /// A message whose time has come is sent once more under its key.
    RepeatAfterItsTime,
    /// A delivery comes minutes late.
    Late,
    /// A delivery comes minutes late and stands in the mailbox already.
    LateAgain,
    /// A delivery comes again.
    Repeated,
    /// A message is cancelled.
    Cancel,
    /// A message is cancelled once more.
    CancelAgain,
    /// A cancelled message is withdrawn from a mailbox.
    Withdraw,
    /// So is one that the mailbox's window has forgotten.
    WithdrawOld,
    /// A message takes another's place.
    Collapse,
    /// A message that is to be confirmed is delivered.
    NeedConfirm,
    /// A message that nobody confirmed is delivered once more.
    Redelivery,
    /// It has been redelivered so often that the next time is far off.
    FarRedelivery,
    /// A trail is read.
    Trail,

    /// Something is announced.
    Announce,
    /// It is announced once more under its key.
    AnnounceAgain,
    /// What was announced is listed.
    Announcements,
    /// One announcement is read.
    Announced,
    /// One is withdrawn.
    Retract,
    /// A device asks for announcements.
    SyncAnnounced,
    /// An announcement is pushed to a device that is there.
    Push,
    /// So is one to a device that cannot be posted to just then.
    PushAgain,
    /// So is one to a device that has gone.
    PushToNobody,

    /// The only connection turns out to be gone.
    Gone,
    /// It has turned out to be gone, and its worker died before it said so.
    GoneMeanwhile,
    /// Nobody is there: an SMS, then an email at once.
    Chain,
    /// An SMS, then an email minutes later.
    SlowChain,
    /// An SMS, then an email a quarter of an hour and more later.
    FarChain,
    /// The time of a step has come.
    DueStep,
    /// An SMS after minutes.
    LaterStep,
    /// An SMS after a quarter of an hour and more.
    FarStep,
    /// One step comes to two workers at once.
    TwoWorkers,
    /// A device confirms just before a step is claimed.
    ConfirmedMeanwhile,
    /// A device has come back before the SMS.
    Comeback,
    /// A push, then an SMS at once.
    PushChain,
    /// The provider cannot take a push, and is asked again.
    PushLater,
    /// The credentials cannot be read at first.
    PushWithoutSecret,
    /// The device's address is dead.
    PushToTheDead,
    /// A call of the app's server, then an SMS at once.
    HookChain,
    /// So is one whose answer is cut off.
    HookCut,
    /// So is one whose answer is cut off, to a server that is busy when it is called again.
    HookBusy,
    /// An SMS and an email about an item that is open.
    OpenItem,
    /// Those about one that is closed.
    ClosedItem,
    /// An item is closed.
    CloseItem,
    /// It is opened again.
    ReopenItem,
    /// A backend asks whether an item is open.
    ReadItem,
    /// A timer comes minutes before its time.
    TooEarly,
    /// A timer comes so early that no queue can hold it.
    TooEarlyByFar,
    /// The clock hands on what has come within reach.
    Tick,
}

impl Scenario {
    pub(super) async fn play(self, cell: &Cell) {
        match self {
            Self::Register => devices::register(cell).await,
            Self::Move => devices::change_hands(cell, false).await,
            Self::MoveMany => devices::change_hands(cell, true).await,
            Self::Unregister => devices::unregister(cell, false).await,
            Self::UnregisterMany => devices::unregister(cell, true).await,
            Self::Connect => sockets::connect(cell).await,
            Self::EndedBefore => sockets::ended_before(cell).await,
            Self::Disconnect => sockets::disconnect(cell).await,
            Self::Ping => sockets::ping(cell).await,
            Self::Sync => sockets::sync(cell).await,
            Self::Ack => sockets::confirm(cell, "ack").await,
            Self::LastWords => sockets::last_words(cell).await,
            Self::Read => sockets::confirm(cell, "read").await,
            Self::AckOfNothing => sockets::confirm_nothing(cell).await,
            Self::AckUpTo => sockets::confirm_up_to(cell).await,
            Self::State => sockets::state(cell).await,
            Self::Inbox => devices::list(cell).await,
            Self::Unread => devices::count(cell).await,
            Self::Preferences => devices::prefer(cell).await,
            Self::ReadPreferences => devices::preferences(cell).await,
            Self::SetUserPreferences => devices::set_user_preferences(cell).await,
            Self::UserPreferences => devices::user_preferences(cell).await,
            Self::ShowDevice => devices::show(cell).await,
            Self::Unsubscribe => devices::unsubscribe(cell).await,
            Self::Online => messages::online(cell, 0).await,
            Self::OnlineNext => messages::online(cell, 1).await,
            Self::TwoLanes => messages::two_lanes(cell, 1).await,
            Self::TwoLanesAtFirst => messages::two_lanes(cell, 0).await,
            Self::InOrder => messages::in_order(cell).await,
            Self::Many => messages::many(cell).await,
            Self::SendAgain => messages::send_again(cell).await,
            Self::SendToDevice => messages::send_to_device(cell).await,
            Self::SendLater => messages::send_later(cell).await,
            Self::SendFarLater => messages::send_far_later(cell).await,
            Self::SendNow => messages::send_now(cell).await,
            Self::RepeatAfterItsTime => messages::repeat_after_its_time(cell).await,
            Self::Late => messages::late(cell, false).await,
            Self::LateAgain => messages::late(cell, true).await,
            Self::Repeated => messages::repeated(cell).await,
            Self::Cancel => messages::cancel(cell).await,
            Self::CancelAgain => messages::cancel_again(cell).await,
            Self::Withdraw => messages::withdraw(cell, false).await,
            Self::WithdrawOld => messages::withdraw(cell, true).await,
            Self::Collapse => messages::collapse(cell).await,
            Self::NeedConfirm => messages::need_confirm(cell).await,
            Self::Redelivery => messages::redelivery(cell).await,
            Self::FarRedelivery => messages::far_redelivery(cell).await,
            Self::Trail => messages::trail(cell).await,
            Self::Announce => announcements::announce(cell, false).await,
            Self::AnnounceAgain => announcements::announce(cell, true).await,
            Self::Announcements => announcements::list(cell).await,
            Self::Announced => announcements::one(cell).await,
            Self::Retract => announcements::withdraw(cell).await,
            Self::SyncAnnounced => announcements::sync(cell).await,
            Self::Push => announcements::push(cell, false).await,
            Self::PushAgain => announcements::push(cell, true).await,
            Self::PushToNobody => announcements::push_to_nobody(cell).await,
            Self::Gone => fallbacks::gone(cell).await,
            Self::GoneMeanwhile => fallbacks::gone_meanwhile(cell).await,
            Self::Chain => fallbacks::chain(cell).await,
            Self::SlowChain => fallbacks::slow_chain(cell).await,
            Self::FarChain => fallbacks::far_chain(cell).await,
            Self::DueStep => fallbacks::due_step(cell).await,
            Self::LaterStep => fallbacks::later_step(cell).await,
            Self::FarStep => fallbacks::far_step(cell).await,
            Self::TwoWorkers => fallbacks::two_workers(cell).await,
            Self::ConfirmedMeanwhile => fallbacks::confirmed_meanwhile(cell).await,
            Self::Comeback => fallbacks::comeback(cell).await,
            Self::PushChain => fallbacks::push_chain(cell).await,
            Self::PushLater => fallbacks::push_later(cell).await,
            Self::PushWithoutSecret => fallbacks::push_without_secret(cell).await,
            Self::PushToTheDead => fallbacks::push_to_the_dead(cell).await,
            Self::HookChain => fallbacks::hook_chain(cell).await,
            Self::HookCut => fallbacks::hook_cut(cell, false).await,
            Self::HookBusy => fallbacks::hook_cut(cell, true).await,
            Self::OpenItem => fallbacks::open_item(cell).await,
            Self::ClosedItem => fallbacks::closed_item(cell).await,
            Self::CloseItem => fallbacks::set_item(cell, false).await,
            Self::ReopenItem => fallbacks::set_item(cell, true).await,
            Self::ReadItem => fallbacks::read_item(cell).await,
            Self::TooEarly => fallbacks::too_early(cell).await,
            Self::TooEarlyByFar => fallbacks::too_early_by_far(cell).await,
            Self::Tick => fallbacks::tick(cell).await,
        }
    }
}
