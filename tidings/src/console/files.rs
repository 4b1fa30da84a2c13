//! The console's files that are about the service, within this program.

use sam_twin::console::File;

macro_rules! files {
    ($($name:literal $kind:expr,)*) => {
        &[$(File { name: $name, kind: $kind, body: include_bytes!(concat!("../../console/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Shown by a browser, where `application/yaml` would be saved.
const DOCUMENT: &str = "text/plain; charset=utf-8";

/// Those of `tidings/console`.
pub(super) const FILES: &[File] = files![
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "api.js" SCRIPT,
    "app.js" SCRIPT,
    "chart.js" SCRIPT,
    "dom.js" SCRIPT,
    "forms.js" SCRIPT,
    "records.js" SCRIPT,
    "wire.js" SCRIPT,
    "words.js" SCRIPT,
    "panels/announcements.js" SCRIPT,
    "panels/demo.js" SCRIPT,
    "panels/devices.js" SCRIPT,
    "panels/faults.js" SCRIPT,
    "panels/items.js" SCRIPT,
    "panels/messages.js" SCRIPT,
    "panels/outbox.js" SCRIPT,
    "panels/overview.js" SCRIPT,
    "panels/preferences.js" SCRIPT,
    "panels/queues.js" SCRIPT,
    "panels/send.js" SCRIPT,
    "panels/sources.js" SCRIPT,
    "panels/traces.js" SCRIPT,
    "vendor/tidings.js" SCRIPT,
];

/// The documents of both APIs, which the page links to.
pub(super) const DOCUMENTS: &[File] = &[
    File { name: "openapi.yaml", kind: DOCUMENT, body: include_bytes!("../../../docs/openapi.yaml") },
    File { name: "asyncapi.yaml", kind: DOCUMENT, body: include_bytes!("../../../docs/asyncapi.yaml") },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use sam_twin::faults::Fault;

    use super::FILES;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path(), &format!("{name}/"), found),
                false => assert!(found.insert(name)),
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut found = BTreeSet::new();
        below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/console")), "", &mut found);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, found);
        assert_eq!(served.len(), FILES.len());
    }

    #[test]
    fn no_file_needs_what_the_policy_forbids() {
        for file in FILES.iter().filter(|file| !file.name.starts_with("vendor/")) {
            let name = file.name;
            let text = std::str::from_utf8(file.body).unwrap();
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
            // Modules import files of the folder, by their relative paths.
            let imports = text.lines().filter_map(|line| line.strip_prefix("import ")?.split('"').nth(1));
            for import in imports {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = match import.strip_prefix("../") {
                    Some(rest) => rest.to_owned(),
                    None => Path::new(folder).join(import.trim_start_matches("./")).to_str().unwrap().to_owned(),
                };
                assert!(FILES.iter().any(|known| known.name == path), "{name} imports {import}");
            }
        }
    }

    #[test]
    fn the_fault_panel_explains_every_fault() {
        let panel = FILES.iter().find(|file| file.name == "panels/faults.js").unwrap().body;
        let panel = std::str::from_utf8(panel).unwrap();
        for fault in Fault::ALL {
            let told = [format!("\n  {fault}: "), format!("\n  \"{fault}\": ")];
            assert!(told.iter().any(|told| panel.contains(told)), "{fault}");
        }
    }
}
