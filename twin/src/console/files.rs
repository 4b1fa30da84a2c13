//! The page's files, built into the program: it needs no folder to run from.

use crate::extension::File;

/// Files of a folder: their names below it, and their types.
macro_rules! files {
    ($($name:literal $kind:expr,)*) => {
        &[$(File { name: $name, kind: $kind, body: include_bytes!(concat!("../../console/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the twin: those of `twin/console`.
pub const OWN: &[File] = files![
    "index.html" "text/html; charset=utf-8",
    "style.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "api.js" SCRIPT,
    "app.js" SCRIPT,
    "chart.js" SCRIPT,
    "console.js" SCRIPT,
    "dom.js" SCRIPT,
    "settings.js" SCRIPT,
    "words.js" SCRIPT,
    "panels/faults.js" SCRIPT,
    "panels/outbox.js" SCRIPT,
    "panels/overview.js" SCRIPT,
    "panels/queues.js" SCRIPT,
    "panels/sources.js" SCRIPT,
    "panels/traces.js" SCRIPT,
];

/// Reports a file that is missing in the list of its folder, and a script that does what the page's policy forbids or
/// imports a file of neither list. Extensions that add files call it in their tests.
///
/// # Errors
/// A description of the fault.
pub fn check(folder: &std::path::Path, files: &[File], others: &[File]) -> Result<(), String> {
    let mut found = Vec::new();
    below(folder, "", &mut found).map_err(|error| error.to_string())?;
    found.sort_unstable();
    let mut served: Vec<&str> = files.iter().map(|file| file.name).collect();
    served.sort_unstable();
    if served != found {
        return Err(format!("served are {served:?}, and in the folder {found:?}"));
    }
    let known: Vec<&str> = files.iter().chain(others).map(|file| file.name).collect();
    for file in files.iter().filter(|file| file.kind == SCRIPT && !file.name.starts_with("vendor/")) {
        let text = std::str::from_utf8(file.body).map_err(|error| format!("{}: {error}", file.name))?;
        let forbidden = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
        if let Some(forbidden) = forbidden.into_iter().find(|forbidden| text.contains(forbidden)) {
            return Err(format!("{}: {forbidden}", file.name));
        }
        // Modules import files of the page, by their relative paths.
        let is_import = |line: &&str| line.starts_with("import ") || line.starts_with("export {");
        let imports = text.lines().filter(is_import).filter_map(|line| line.split('"').nth(1));
        for import in imports {
            let folder = file.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let path = match import.strip_prefix("../") {
                Some(rest) => rest.to_owned(),
                None => format!("{folder}{}", import.trim_start_matches("./")),
            };
            if !known.contains(&path.as_str()) {
                return Err(format!("{} imports {import}", file.name));
            }
        }
    }
    Ok(())
}

fn below(folder: &std::path::Path, prefix: &str, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => below(&entry.path(), &format!("{name}/"), found)?,
            false => found.push(name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::faults::Fault;
    use crate::services::{ses, sns};

    fn text(name: &str) -> &'static str {
        std::str::from_utf8(OWN.iter().find(|file| file.name == name).unwrap().body).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_none_needs_what_the_policy_forbids() {
        check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/console")), OWN, &[]).unwrap();
    }

    #[test]
    fn the_fault_panel_explains_every_fault() {
        let panel = text("panels/faults.js");
        for fault in Fault::ALL {
            let explained = [format!("\n  {fault}: "), format!("\n  \"{fault}\": ")];
            assert!(explained.iter().any(|text| panel.contains(text)), "{fault}");
        }
    }

    #[test]
    fn the_outbox_panel_shows_every_channel_of_the_twin_as_what_it_is() {
        for channel in [ses::EMAIL, sns::SMS, sns::TOPIC] {
            let name = serde_json::to_value(&channel).unwrap();
            assert!(text("panels/outbox.js").contains(&format!("\n  {}: [", name.as_str().unwrap())), "{channel:?}");
        }
    }
}
