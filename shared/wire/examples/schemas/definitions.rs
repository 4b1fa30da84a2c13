//! The schemas of all types of the wire, by their names.

use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value};
use tidings_wire::{
    Action, AnnounceAnswer, AnnounceRequest, DeviceAnswer, Frame, InboxAnswer, ItemAnswer, ItemRequest, Preferences,
    Problem, PushAddress, RegisterAnswer, RegisterRequest, SendAnswer, SendRequest, Trail, UnreadAnswer,
    announcement::{AnnouncementsAnswer, WithdrawAnswer},
    send::CancelAnswer,
};

/// The prefix of a reference from one schema to another one.
pub(crate) const PLACE: &str = "#/components/schemas/";

/// The schema of every type, as it is written or as it is read.
pub(crate) fn definitions(contract: &Contract) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12();
    let place = PLACE.trim_start_matches('#').trim_end_matches('/').into();
    let mut generator = settings
        .with(|settings| {
            settings.definitions_path = place;
            settings.contract = contract.clone();
        })
        .into_generator();
    macro_rules! roots {
        ($($root:ty),+ $(,)?) => { $(generator.subschema_for::<$root>();)+ };
    }
    roots![
        RegisterRequest,
        RegisterAnswer,
        DeviceAnswer,
        SendRequest,
        SendAnswer,
        CancelAnswer,
        Trail,
        AnnounceRequest,
        AnnounceAnswer,
        AnnouncementsAnswer,
        WithdrawAnswer,
        ItemRequest,
        ItemAnswer,
        InboxAnswer,
        UnreadAnswer,
        Preferences,
        Problem,
        Action,
        Frame,
        PushAddress,
    ];
    generator.take_definitions(true)
}
