//! The console's files about the service, embedded in this program.

use sam_twin::extension::File;

macro_rules! files {
    ($($name:literal $kind:expr,)*) => {
        &[$(File { name: $name, kind: $kind, body: include_bytes!(concat!("../../console/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLES: &str = "text/css; charset=utf-8";

/// A browser shows this type; it would save `application/yaml`.
const DOCUMENT: &str = "text/plain; charset=utf-8";

/// The files of `tidings/console`.
pub(super) const FILES: &[File] = files![
    "connect.js" SCRIPT,
    "console.js" SCRIPT,
    "forms.js" SCRIPT,
    "records.js" SCRIPT,
    "service.css" STYLES,
    "service.js" SCRIPT,
    "settings.js" SCRIPT,
    "traffic.js" SCRIPT,
    "trails.js" SCRIPT,
    "wire.js" SCRIPT,
    "panels/announcements.js" SCRIPT,
    "panels/demo.js" SCRIPT,
    "panels/devices.js" SCRIPT,
    "panels/items.js" SCRIPT,
    "panels/messages.js" SCRIPT,
    "panels/preferences.js" SCRIPT,
    "panels/send.js" SCRIPT,
    "vendor/tidings.js" SCRIPT,
];

/// The documents of both APIs, which the page links to.
pub(super) const DOCUMENTS: &[File] = &[
    File { name: "openapi.yaml", kind: DOCUMENT, body: include_bytes!("../../../docs/openapi.yaml") },
    File { name: "asyncapi.yaml", kind: DOCUMENT, body: include_bytes!("../../../docs/asyncapi.yaml") },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sam_twin::console::files::{OWN, check};
    use tidings_wire::Choice;
    use tidings_wire::send::{Channel, Destination};

    use super::FILES;

    #[test]
    fn every_file_of_the_folder_is_served_and_none_needs_what_the_policy_forbids() {
        check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/console")), FILES, OWN).unwrap();
    }

    #[test]
    fn the_files_of_the_twin_that_are_replaced_are_those_that_say_so() {
        let is_own = |name: &str| OWN.iter().any(|file| file.name == name);
        let replaced: Vec<&str> = FILES.iter().map(|file| file.name).filter(|name| is_own(name)).collect();
        assert_eq!(replaced, ["console.js", "settings.js"]);
    }

    #[test]
    fn the_outbox_knows_for_every_push_channel_how_its_text_is_found() {
        let console = FILES.iter().find(|file| file.name == "console.js").unwrap();
        let console = std::str::from_utf8(console.body).unwrap();
        for (name, channel) in Channel::ALL {
            let is_push = match channel.destination() {
                Destination::EachDevice | Destination::AllDevices | Destination::Server => true,
                Destination::Phone | Destination::Mailbox => false,
            };
            assert_eq!(console.contains(&format!("\n      {name}: (")), is_push, "{name}");
        }
    }
}
