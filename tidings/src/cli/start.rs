//! The twin that a command starts, with the additions of Tidings.

use sam_twin::cli::failure::Failure;
use sam_twin::cli::options::TwinArgs;
use sam_twin::functions::Source;
use sam_twin::stack::{Twin, TwinOptions};

use super::session::RootKeySecrets;
use crate::additions::Additions;
use crate::providers::ProvidersOptions;

/// The functions in this program, by the names of their binaries.
const FUNCTIONS: &[&str] = include!(concat!(env!("OUT_DIR"), "/function_names.rs"));

/// Options for free ports, in memory, with the additions of Tidings. Without artefacts this program runs its built-in
/// functions; those of another template come from their `CodeUri`.
pub(crate) fn options(args: TwinArgs, providers: ProvidersOptions) -> Result<(TwinOptions, Additions), Failure> {
    let mut options = args.clone().options(Source::this_program_for(FUNCTIONS, Source::CodeUri(args.folder()))?)?;
    let additions = Additions::to(&mut options, providers);
    Ok((options, additions))
}

/// The table of apps, as the template names it in its outputs.
pub(crate) fn directory_table(twin: &Twin) -> Result<String, Failure> {
    twin.outputs().get("DirectoryTableName").cloned().ok_or_else(|| {
        Failure::new("the template has no output DirectoryTableName").hint("it names the table that holds the apps")
    })
}

/// The KMS key that wraps the keys of apps, as the template passes it to the functions, if the deployment seals.
pub(crate) fn seal_key(twin: &Twin) -> Option<String> {
    let mut functions = twin.template().functions.values();
    let key = functions.find_map(|function| function.environment.get("TIDINGS_SEAL_KEY")).cloned();
    key.filter(|key| !key.is_empty())
}

/// The prefix of the names of the apps' secrets, as the template passes it to the functions.
pub(crate) fn provider_secrets(twin: &Twin) -> Option<String> {
    let mut functions = twin.template().functions.values();
    functions.find_map(|function| function.environment.get("TIDINGS_PROVIDER_SECRETS")).cloned()
}

/// The secrets with the root keys, as the template names them in its outputs.
pub(crate) fn root_keys(twin: &Twin) -> Option<RootKeySecrets> {
    let output = |name: &str| twin.outputs().get(name).cloned();
    Some(RootKeySecrets {
        content: output("ContentRootKeysArn")?,
        tokens: output("TokenRootKeysArn")?,
        links: output("LinkRootKeysArn")?,
    })
}
