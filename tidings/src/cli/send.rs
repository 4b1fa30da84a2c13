//! `tidings send`: sends a message.

use std::time::Duration;

use futures_util::future::join_all;
use sam_twin::client::{Client, Method};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tidings_crypto::encoding::percent;
use tidings_wire::json::object;
use tidings_wire::send::{Channel, Condition, Downgrade, FallbackStep, MsgType, Priority};
use tidings_wire::{Choice, Content, Platform, SendRequest, Timestamp};

use super::target::{self, Api, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;
use sam_twin::cli::style::printable;

/// How long the twin may take to answer whether a recipient is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most recipients that are looked up.
const LOOKED_UP: usize = 5;

/// The message to send.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Alias of a recipient; repeatable, or separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "ALIAS", value_parser = super::alias)]
    to: Vec<String>,
    /// Text that is shown
    #[arg(long, required_unless_present = "extra")]
    alert: Option<String>,
    /// The app's own data: any JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    extra: Option<Value>,
    /// Name of the sender, as shown
    #[arg(long)]
    sender: Option<String>,
    /// Kind of content: text, event, image, voice, link or file
    #[arg(long, value_name = "KIND", value_parser = word::<MsgType>)]
    msg_type: Option<MsgType>,
    /// Name of what happened, for --msg-type event
    #[arg(long)]
    event: Option<String>,
    /// Category by which the app lists messages
    #[arg(long)]
    category: Option<String>,
    /// Tag by which the app filters messages
    #[arg(long)]
    tag: Option<String>,
    /// Sound to play
    #[arg(long)]
    sound: Option<String>,
    /// Number on the app's icon
    #[arg(long, value_name = "N")]
    badge: Option<u64>,
    /// Only devices of this platform: ANDROID, IOS, PC or WEB
    #[arg(long, value_parser = super::register::platform)]
    platform: Option<Platform>,
    /// Text of the SMS, if the fallback chain reaches one
    #[arg(long, value_name = "TEXT")]
    sms: Option<String>,
    /// Fallback chain while no device confirms the message: channels, each with its pause in seconds
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL[:SECONDS]", value_parser = step)]
    fallback: Vec<FallbackStep>,
    /// Send a fallback step only if the recipient's app is older than this version, such as 2.10.0
    #[arg(long, value_name = "VERSION")]
    client_version_below: Option<String>,
    /// Send a fallback step only while this item is open: see `tidings item`
    #[arg(long, value_name = "ITEM")]
    item_open: Option<String>,
    /// Seconds for which the message is kept for its recipient [default: 72 hours]
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// Redeliver the message until a device confirms it
    #[arg(long)]
    need_confirm: bool,
    /// Seconds for which --need-confirm goes on, 300 to 259200 [default: as long as the message is kept]
    #[arg(long, value_name = "SECONDS", requires = "need_confirm")]
    duration: Option<u64>,
    /// high, or normal: in the lane of bulk sends [default: high up to 25 recipients, normal for more]
    #[arg(long, value_parser = word::<Priority>)]
    priority: Option<Priority>,
    /// Replace earlier messages with the same key that have not been shown yet
    #[arg(long, value_name = "KEY")]
    collapse_key: Option<String>,
    /// When to send: a time such as 2026-11-22T08:00:00Z, or seconds from now such as +90
    #[arg(long, value_name = "TIME", value_parser = moment)]
    send_at: Option<Timestamp>,
    /// Do not keep the message for devices that are not connected
    #[arg(long)]
    transient: bool,
    /// Idempotency key: requests with the same key send once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings send --to alice --alert 'Your parcel is here'
  tidings send --to alice,bob --alert 'Paid' --msg-type event --event order.paid --extra '{\"order\": 7}'

  If no device confirms it: an SMS, at once if none is connected, and an email 30 seconds after the SMS.
  tidings send --to alice --alert 'Your parcel is here' --sms 'Parcel here' --fallback sms:0,email:30

  The same, until `tidings item close parcel:7`.
  tidings send --to alice --alert 'Your parcel is here' --fallback sms:0,email:30 --item-open parcel:7

  At this time, unless `tidings cancel` comes first.
  tidings send --to alice --alert 'Good morning' --send-at 2026-11-23T07:00:00Z

Standard output is the request id alone: tidings trail $(tidings send --to alice --alert Hi) --follow";

/// Parses `extra` and refuses what the service refuses: once parsed, duplicate names, for example, are gone.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let value = serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("not JSON: {error}"));
    value
        .and_then(|_| object(format!("{{\"extra\":{text}}}").as_bytes()).map_err(|error| error.to_string()))
        .map(|mut object| object.remove("extra").unwrap_or_default())
}

fn word<T: Choice>(text: &str) -> Result<T, String> {
    let words = || T::ALL.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    T::from_word(text).ok_or_else(|| format!("expected one of {}", words()))
}

/// `2026-11-22T08:00:00Z`, `+90`.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Some(seconds) = text.strip_prefix('+') {
        let seconds = seconds.parse().map_err(|_| format!("{seconds:?} is not a number of seconds"))?;
        return Ok(Timestamp::now().plus_seconds(seconds));
    }
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| "expected a time such as 2026-11-22T08:00:00Z, or seconds such as +90".to_owned())
}

/// `sms`, `sms:0`, `email:30`.
pub(super) fn step(text: &str) -> Result<FallbackStep, String> {
    let (channel, after) = match text.split_once(':') {
        Some((channel, seconds)) => {
            let after = seconds.parse().map_err(|_| format!("{seconds:?} is not a number of seconds"))?;
            (channel, Some(after))
        }
        None => (text, None),
    };
    Ok(FallbackStep { channel: word::<Channel>(channel)?, after })
}

impl Args {
    fn request(&self, app_id: &str) -> SendRequest {
        SendRequest {
            app_id: Some(app_id.to_owned()),
            platform: self.platform,
            audiences: self.to.clone(),
            content: Content {
                msg_type: self.msg_type,
                alert: self.alert.clone(),
                extra: self.extra.clone(),
                event: self.event.clone(),
                sound: self.sound.clone(),
                badge: self.badge,
                sender: self.sender.clone(),
                category: self.category.clone(),
                tag: self.tag.clone(),
                need_confirm: self.need_confirm.then_some(true),
                ..Content::default()
            },
            sms_message: self.sms.clone(),
            duration: self.duration,
            ttl: self.ttl,
            priority: self.priority,
            collapse_key: self.collapse_key.clone(),
            send_at: self.send_at,
            persist: self.transient.then_some(false),
            fallback: (!self.fallback.is_empty()).then(|| self.fallback.clone()),
            condition: self.condition(),
            ..SendRequest::default()
        }
    }

    fn condition(&self) -> Option<Condition> {
        let Self { client_version_below, item_open, .. } = self;
        let condition = Condition { client_version_below: client_version_below.clone(), item_open: item_open.clone() };
        Some(condition).filter(|condition| *condition != Condition::default())
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let api = args.api.clone().resolve()?;
    let request = args.request(&api.app_id);
    let answer = api.backend.send(&request, args.idempotency_key.as_deref()).await.map_err(target::failure)?;
    if args.json {
        return output::pretty_json(&answer);
    }
    output::line(&answer.request_id)?;
    for Downgrade { field, detail } in &answer.downgrades {
        output::note(format_args!("note: {}: {}", printable(field), printable(detail)));
    }
    for alias in unknown(&api, &args.to).await {
        let alias = printable(&alias);
        output::note(format_args!("note: no device is registered for {alias} yet; the message waits for one"));
    }
    output::note(format_args!("next: tidings trail {}", answer.request_id));
    Ok(())
}

/// The recipients for whom no device is registered, if the deployment is a twin. The alias may be mistyped, and the
/// service accepts it. The API has no such query, so other deployments are not asked.
async fn unknown(api: &Api, aliases: &[String]) -> Vec<String> {
    let Some(twin) = &api.twin_url else { return Vec::new() };
    let client = Client::new(PATIENCE);
    let is_unknown = async |alias: &String| {
        let url = format!("{twin}/_twin/devices?appId={}&alias={}", api.app_id, percent(alias));
        let page: Value = client.json(Method::GET, &url).await.ok()?;
        let users = page["users"].as_array()?;
        // The first message creates a mailbox, a registration creates a profile.
        users.iter().all(|user| user["devices"] == json!([]) && user["profile"] == json!({})).then(|| alias.clone())
    };
    let asked = aliases.iter().take(LOOKED_UP).map(is_unknown);
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Only::try_parse_from(std::iter::once(&"send").chain(line)).map(|only| only.args)
    }

    #[test]
    fn flags_become_the_request() {
        let args = parse(&[
            "--to",
            "alice,bob",
            "--to",
            "eve",
            "--alert",
            "Hi",
            "--extra",
            "{\"a\":1}",
            "--sms",
            "S",
            "--fallback",
            "sms:0,email:30,webhook",
            "--ttl",
            "60",
            "--transient",
            "--client-version-below",
            "2.10",
            "--item-open",
            "order:4711",
        ])
        .unwrap();
        let expected = serde_json::json!({
            "appId": "demo", "audiences": ["alice", "bob", "eve"], "alert": "Hi", "extra": {"a": 1}, "smsMessage": "S",
            "ttl": 60, "persist": false,
            "fallback": [{"channel": "sms", "after": 0}, {"channel": "email", "after": 30}, {"channel": "webhook"}],
            "condition": {"clientVersionBelow": "2.10", "itemOpen": "order:4711"},
        });
        assert_eq!(serde_json::to_value(args.request("demo")).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (line, named) in [
            (&["--alert", "Hi"][..], "--to"),
            (&["--to", "alice"], "--alert"),
            (&["--to", "alice", "--extra", "{"], "not JSON"),
            (&["--to", "alice", "--alert", "x", "--fallback", "pigeon:1"], "expected one of apns"),
            (&["--to", "alice", "--alert", "x", "--fallback", "sms:soon"], "not a number of seconds"),
            (&["--to", "alice", "--alert", "x", "--priority", "urgent"], "expected one of high, normal"),
            (&["--to", "alice", "--alert", "x", "--send-at", "tomorrow"], "expected a time such as"),
            (&["--to", "alice", "--alert", "x", "--duration", "600"], "--need-confirm"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
