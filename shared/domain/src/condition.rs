//! Whether a message's condition still holds when a fallback step is due.

use tidings_wire::{Version, send::Condition, trail::SkipReason};

use crate::Device;

/// The reason to skip a step; `None` if it may go out. `devices` are those that the message is meant for; a user
/// without a device is never up to date.
pub(crate) fn is_done<'a>(
    condition: &Condition,
    devices: impl Iterator<Item = &'a Device>,
    item_closed: bool,
) -> Option<SkipReason> {
    if item_closed && condition.item_open.is_some() {
        return Some(SkipReason::ItemClosed);
    }
    let mut devices = devices.peekable();
    let all = devices.peek().is_some() && devices.all(|device| !is_below(condition, device));
    all.then_some(SkipReason::UpToDate)
}

/// Whether a device is older than the condition requires. True as well if there is no such condition or the device's
/// version is unknown.
pub(crate) fn is_below(condition: &Condition, device: &Device) -> bool {
    let Some(below) = condition.client_version_below.as_deref().and_then(Version::parse) else { return true };
    let version = device.client_version.as_deref().and_then(Version::parse);
    version.is_none_or(|version| version < below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests;
    use tidings_wire::Platform;

    fn done(condition: serde_json::Value, versions: &[Option<&str>], item_closed: bool) -> Option<SkipReason> {
        let condition: Condition = serde_json::from_value(condition).unwrap();
        let devices = tests::view(&vec![Platform::Web; versions.len()]).devices;
        let with = |(device, version): (Device, &Option<&str>)| Device {
            client_version: version.map(str::to_owned),
            ..device
        };
        let devices: Vec<Device> = devices.into_iter().zip(versions).map(with).collect();
        is_done(&condition, devices.iter(), item_closed)
    }

    #[test]
    fn steps_go_out_until_every_device_has_the_update() {
        let below = || serde_json::json!({"clientVersionBelow": "2.10"});
        for (versions, expected) in [
            (&[Some("2.9.3")][..], None),
            (&[Some("2.10.0")], Some(SkipReason::UpToDate)),
            (&[Some("2.10.0-beta.2")], None),
            (&[Some("2.10"), Some("3.0")], Some(SkipReason::UpToDate)),
            (&[Some("2.10"), Some("2.9")], None),
            (&[Some("2.10"), None], None),
            (&[Some("two")], None),
            (&[], None),
        ] {
            assert_eq!(done(below(), versions, true), expected, "{versions:?}");
        }
    }

    #[test]
    fn a_closed_item_skips_the_step() {
        let open = || serde_json::json!({"itemOpen": "order:4711"});
        assert_eq!(done(open(), &[None], true), Some(SkipReason::ItemClosed));
        assert_eq!(done(open(), &[Some("9")], false), None, "the condition names no version");
        let both = || serde_json::json!({"itemOpen": "order:4711", "clientVersionBelow": "2"});
        assert_eq!(done(both(), &[Some("1")], true), Some(SkipReason::ItemClosed));
        assert_eq!(done(both(), &[Some("2")], false), Some(SkipReason::UpToDate));
        assert_eq!(done(both(), &[Some("1")], false), None);
    }
}
