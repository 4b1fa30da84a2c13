//! `tidings listen`: a device in the terminal.

use tidings_client::{CloseReason, Device, Event, Events, Identity, Options};
use tidings_wire::frame::AnnouncementFrame;
use tidings_wire::{Content, MessageFrame, Platform};

use super::device_file::{DeviceFile, Reach};
use super::register;
use super::target::{Api, ApiArgs, SocketArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::logs;
use sam_twin::cli::style::{Style, clock, printable};

/// Who listens.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the user in the app; the device is registered if this terminal has none
    #[arg(long)]
    alias: String,
    /// What the device runs, where it has to be registered: ANDROID, IOS, PC or WEB
    #[arg(long, default_value = "PC", value_parser = register::platform)]
    platform: Platform,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print each message as one line of JSON, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    socket: SocketArgs,
    /// What to log: error, warn, info, debug, or a filter
    #[arg(long, default_value = "warn")]
    log: String,
}

const EXAMPLES: &str = "\
Examples:
  tidings listen --alias alice
  tidings listen --alias alice --mobile +8613800138000 --email alice@example.com
  tidings listen --alias alice --json --count 1 | jq .alert

Each message is acknowledged when it is printed; announcements come too, and nobody waits for an acknowledgement of theirs. What was sent while nobody listened comes first. Ctrl-C ends.";

/// How an open device ended.
enum End {
    /// By the person, or because it printed enough.
    Done,
    /// The deployment does not know it, or not its keys; whether it did before.
    Refused { failure: Failure, connected: bool },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    logs::log(&args.log)?;
    let api = args.api.clone().resolve()?;
    let socket_url = args.socket.clone().resolve()?;
    let kept = DeviceFile::read(&api, &args.alias)?;
    let Reach { mobile, email, push } = &args.reach;
    let wants_registration = mobile.is_some() || email.is_some() || push.is_some();
    // A twin that was started anew knows no devices of its former life: a refusal of a device that was good before is a
    // reason to register again, once, and not to ask in vain.
    let (mut file, mut was_good) = match kept {
        Some(file) if !wants_registration => (file, true),
        Some(_) | None => (register(&args, &api).await?, false),
    };
    loop {
        let patience = if was_good { 1 } else { 3 };
        match listen(&args, &socket_url, &mut file, patience).await? {
            End::Done => return Ok(()),
            End::Refused { connected: true, .. } => {}
            End::Refused { .. } if was_good => {}
            End::Refused { failure, .. } => return Err(failure),
        }
        eprintln!("{} is not registered there any more; registering again", args.alias);
        file = register(&args, &api).await?;
        was_good = false;
    }
}

async fn register(args: &Args, api: &Api) -> Result<DeviceFile, Failure> {
    DeviceFile::register(api, &args.alias, args.platform, None, args.reach.clone()).await
}

async fn listen(args: &Args, socket_url: &str, file: &mut DeviceFile, patience: u32) -> Result<End, Failure> {
    let identity = Identity::from_answer(&file.registered)?;
    let (cursor, announced) = (file.cursor, file.announced);
    let options = Options { cursor, announced, give_up_after: patience, ..Options::new(socket_url) };
    let (device, mut events) = Device::open(identity, options);
    tokio::select! {
        end = print(args, &mut events, file) => {
            device.close().await;
            end
        }
        interrupted = tokio::signal::ctrl_c() => {
            device.close().await;
            interrupted?;
            Ok(End::Done)
        }
    }
}

async fn print(args: &Args, events: &mut Events, file: &mut DeviceFile) -> Result<End, Failure> {
    let style = Style::of_stdout();
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut connected = false;
    let note = |text: String| {
        if !args.json {
            println!("{} {}", style.faint(&clock()), style.faint(&text));
        }
    };
    while left > 0 {
        let Some(event) = events.next().await else { return Ok(End::Done) };
        match event {
            Event::Connected => {
                connected = true;
                note(format!("connected as device {}", file.registered.id));
            }
            Event::Message(received) => {
                left -= 1;
                if args.json {
                    println!("{}", serde_json::to_string(&received.message)?);
                } else {
                    println!("{} {}", style.faint(&clock()), one_line(&received.message, style));
                }
                if let Some(position) = received.message.position {
                    file.advance(position)?;
                }
            }
            Event::Announcement(announcement) => {
                if args.json {
                    println!("{}", serde_json::to_string(&announcement)?);
                } else {
                    println!("{} {}", style.faint(&clock()), announced(&announcement, style));
                }
                file.announced = announcement.number;
                file.write()?;
            }
            Event::Synced(synced) => {
                if !synced.recovered {
                    note("some messages are no longer kept and were missed".to_owned());
                }
                file.advance(synced.position)?;
            }
            Event::Pong(_) | Event::RolledOver => {}
            Event::Refused(error) => note(format!("refused: {} ({})", error.detail, error.code)),
            Event::Unreadable(unreadable) => note(format!("ignored: {unreadable}")),
            Event::Disconnected { loss, retry_in } => {
                note(format!("{}; again in {:.1} s", Failure::from(loss).reason(), retry_in.as_secs_f64()));
            }
            Event::Closed(CloseReason::Asked) => return Ok(End::Done),
            Event::Closed(CloseReason::CannotConnect(error)) => {
                let failure = Failure::from(error).hint("`tidings register` registers it again");
                return Ok(End::Refused { failure, connected });
            }
        }
    }
    Ok(End::Done)
}

/// A message for a person: sender, text, data, place.
fn one_line(message: &MessageFrame, style: Style) -> String {
    let sender = message.content.sender.as_deref().or(message.from_user_name.as_deref());
    let place = message.position.map_or_else(String::new, |at| format!(" #{}", at.seq));
    format!("{}  {}", told(sender, &message.content, style), style.faint(&format!("({}{place})", message.id)))
}

/// An announcement for a person, told apart from what is only for him.
fn announced(announcement: &AnnouncementFrame, style: Style) -> String {
    let sender = announcement.from_user_name.as_deref();
    let told = told(sender, &announcement.content, style);
    format!("to everyone  {told}  {}", style.faint(&format!("({})", announcement.id)))
}

fn told(sender: Option<&str>, content: &Content, style: Style) -> String {
    let mut parts = Vec::new();
    if let Some(sender) = sender {
        parts.push(style.bold(&format!("{}:", printable(sender))));
    }
    parts.extend(content.alert.as_deref().map(printable).map(|alert| style.bold(&alert)));
    parts.extend(content.event.as_deref().map(|event| format!("[{}]", printable(event))));
    parts.extend(content.extra.as_ref().map(|extra| extra.to_string()));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::action::Position;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let message = MessageFrame {
            id: "m-1".to_owned(),
            position: Some(Position { epoch: 7, seq: 3 }),
            device_id: "d".to_owned(),
            to_user_name: "alice".to_owned(),
            from_user_name: Some("shop".to_owned()),
            create_time: 0,
            content: Content {
                alert: Some("Hello\x1b[2J\nyou".to_owned()),
                extra: Some(serde_json::json!({"order": 7})),
                ..Content::default()
            },
        };
        assert_eq!(one_line(&message, Style::plain()), "shop:  Hello [2J you  {\"order\":7}  (m-1 #3)");
    }
}
