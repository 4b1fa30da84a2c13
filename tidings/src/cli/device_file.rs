//! `.tidings/devices/<alias>.json`: a device of this terminal, with its keys and its cursor.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidings_crypto::encoding::hex;
use tidings_crypto::random;
use tidings_wire::action::Position;
use tidings_wire::send::Channel;
use tidings_wire::{Choice as _, Platform, PushAddress, RegisterAnswer, RegisterRequest};

use super::private_file;
use super::target::{self, Api};
use sam_twin::cli::failure::{Context, Failure};

const FOLDER: &str = "devices";

/// A device as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceFile {
    #[serde(skip)]
    path: PathBuf,
    /// The deployment and the app of its registration: another one takes a new registration.
    pub(crate) api_url: String,
    pub(crate) app_id: String,
    pub(crate) alias: String,
    pub(crate) native_token: String,
    pub(crate) registered: RegisterAnswer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Position>,
    /// The number of the last announcement that was printed.
    #[serde(default)]
    pub(crate) announced: u64,
    /// Its push address, used while no `listen` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) push: Option<PushAddress>,
}

/// The addresses of a person for fallback steps and pushes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Reach {
    /// Phone number for SMS, as in E.164: +8613800138000
    #[arg(long)]
    pub(crate) mobile: Option<String>,
    /// Address for email
    #[arg(long)]
    pub(crate) email: Option<String>,
    #[arg(long, value_name = "JSON", value_parser = push, help = push_help())]
    pub(crate) push: Option<PushAddress>,
}

fn push_help() -> String {
    let channels = Channel::ALL.iter().filter(|(_, channel)| channel.has_address() && *channel != Channel::Apns);
    let words: Vec<&str> = channels.map(|(word, _)| *word).collect();
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    let others = others.join(", ");
    format!(
        r#"How the device is reached while it holds no socket: {{"channel": "apns", "token": "…"}}, {others} or {last}"#
    )
}

fn push(text: &str) -> Result<PushAddress, String> {
    serde_json::from_str(text).map_err(|error| format!("not an address for pushes: {error}"))
}

impl DeviceFile {
    /// The device of an alias, if this terminal has one there.
    pub(crate) fn read(api: &Api, alias: &str) -> Result<Option<Self>, Failure> {
        let path = path(&api.folder, alias);
        let Some(text) = private_file::read(&path)? else { return Ok(None) };
        let file: Self = serde_json::from_str(&text).context(|| format!("read {}", path.display()))?;
        Ok((file.api_url == api.url && file.app_id == api.app_id).then_some(Self { path, ..file }))
    }

    pub(crate) fn write(&self) -> Result<&Path, Failure> {
        private_file::write(&self.path, &format!("{}\n", serde_json::to_string_pretty(self)?))?;
        Ok(&self.path)
    }

    /// Registers a device for an alias and stores it. The same terminal remains the same device.
    pub(crate) async fn register(
        api: &Api,
        alias: &str,
        platform: Platform,
        native_token: Option<String>,
        reach: Reach,
    ) -> Result<Self, Failure> {
        let kept = Self::read(api, alias)?;
        let native_token = match (native_token, &kept) {
            (Some(token), _) => token,
            (None, Some(kept)) => kept.native_token.clone(),
            (None, None) => format!("terminal-{}", random::id()?),
        };
        let request = RegisterRequest {
            alias: alias.to_owned(),
            app_id: api.app_id.clone(),
            platform,
            native_token: native_token.clone(),
            mobile: reach.mobile,
            email: reach.email,
            tag: None,
            tenant_code: None,
            client_version: Some(concat!("tidings-cli/", env!("CARGO_PKG_VERSION")).to_owned()),
            locale: None,
            time_zone: None,
            // A registration without a push address would remove it.
            push: reach.push.or_else(|| kept.as_ref().and_then(|kept| kept.push.clone())),
        };
        let registered = api.backend.register(&request).await.map_err(target::failure)?;
        let kept = kept.filter(|kept| kept.registered.id == registered.id);
        // The cursor belongs to the mailbox: a deployment that was created afresh has other keys and another mailbox.
        // Announcements are numbered by time, so a new one never has the number of an old one.
        let cursor =
            kept.as_ref().filter(|kept| has_same_keys(&kept.registered, &registered)).and_then(|kept| kept.cursor);
        let announced = kept.map_or(0, |kept| kept.announced);
        let file = Self {
            path: path(&api.folder, alias),
            api_url: api.url.clone(),
            app_id: api.app_id.clone(),
            alias: alias.to_owned(),
            native_token,
            registered,
            cursor,
            announced,
            push: request.push,
        };
        file.write()?;
        Ok(file)
    }

    /// Advances the cursor, never back, and stores it.
    pub(crate) fn advance(&mut self, to: Position) -> Result<(), Failure> {
        let is_older = self.cursor.is_some_and(|at| at.epoch == to.epoch && to.seq <= at.seq);
        if !is_older {
            self.cursor = Some(to);
            self.write()?;
        }
        Ok(())
    }
}

fn has_same_keys(one: &RegisterAnswer, other: &RegisterAnswer) -> bool {
    let pairs = [(&one.keys.content, &other.keys.content), (&one.keys.token, &other.keys.token)];
    pairs.iter().all(|(one, other)| one.kid == other.kid && one.k.expose() == other.k.expose())
}

/// An alias may hold anything; a file name may not.
fn path(folder: &Path, alias: &str) -> PathBuf {
    let mut name = String::with_capacity(alias.len());
    for byte in alias.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            name.push(char::from(byte));
        } else {
            name.push('%');
            name.push_str(&hex(&[byte]));
        }
    }
    folder.join(FOLDER).join(name).with_extension("json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alias_leaves_the_folder() {
        let path = |alias| path(Path::new(".tidings"), alias);
        assert_eq!(path("alice"), Path::new(".tidings/devices/alice.json"));
        assert_eq!(path("../a/b.c"), Path::new(".tidings/devices/%2e%2e%2fa%2fb%2ec.json"));
        assert_ne!(path("a.b"), path("a_b"));
    }
}
