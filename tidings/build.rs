//! Generates the list of functions from the folder `functions`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../functions");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().into_string().map_err(|name| format!("{name:?} is not the name of a crate"))?);
        }
    }
    names.sort_unstable();
    let mut list = String::from("[\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("function_names.rs"), format!("&{names:?}"))?;
    for name in names {
        let library = name.replace('-', "_");
        writeln!(list, "    ({name:?}, || Box::pin(tidings_{library}::run())),")?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("functions.rs"), list)?;
    Ok(())
}
