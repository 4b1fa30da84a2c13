//! `tidings listen`: a device in the terminal.

use std::time::Duration;

use tidings_client::{Ack, CloseReason, Device, DeviceGone, Event, Events, Identity, Options};
use tidings_wire::action::Position;
use tidings_wire::frame::AnnouncementFrame;
use tidings_wire::{Content, Frame, MessageFrame, Platform};

use super::device_file::{DeviceFile, Reach};
use super::register;
use super::target::{Api, ApiArgs, SocketArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::logs;
use sam_twin::cli::output;
use sam_twin::cli::style::{Style, clock, printable};

/// The user and the device that listen.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the user in the app; the device is registered if this terminal has none
    #[arg(long, value_parser = super::alias)]
    alias: String,
    /// Platform of the device, if it has to be registered: ANDROID, IOS, PC or WEB
    #[arg(long, default_value = "PC", value_parser = register::platform)]
    platform: Platform,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print each message and each announcement as one line of JSON, with its `type`, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    socket: SocketArgs,
    /// Level of the log: error, warn, info, debug, or a filter
    #[arg(long, default_value = "warn")]
    log: String,
}

const EXAMPLES: &str = "\
Examples:
  tidings listen --alias alice
  tidings listen --alias alice --mobile +8613800138000 --email alice@example.com
  tidings listen --alias alice --json --count 1 | jq .alert

Messages that were sent while the device was away come first. Each message is acknowledged when it is printed.
Announcements are printed too, and are not acknowledged. Ctrl-C ends.";

/// The longest pause while a twin cannot be reached: a person who restarts it waits for the device.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);

/// How an open device ended.
enum End {
    /// The person ended it, or it printed enough.
    Done,
    /// The deployment does not know the device or its keys; `connected` if its socket has been open.
    Refused { failure: Failure, connected: bool },
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    logs::log(&args.log)?;
    let api = args.api.clone().resolve()?;
    let socket_url = args.socket.clone().resolve()?;
    let kept = DeviceFile::read(&api, &args.alias)?;
    let Reach { mobile, email, push } = &args.reach;
    let wants_registration = mobile.is_some() || email.is_some() || push.is_some();
    // A twin that was restarted without its data knows no devices. If a device was accepted before, its refusal is a
    // reason to register once more instead of retrying in vain.
    let (mut file, mut was_good) = match kept {
        Some(file) if !wants_registration => (file, true),
        Some(_) | None => (register(&args, &api).await?, false),
    };
    loop {
        let patience = if was_good { 1 } else { 3 };
        let mut options = Options { give_up_after: patience, ..Options::new(&socket_url) };
        if api.twin_url.is_some() {
            options.longest_outage_pause = LONGEST_OUTAGE_PAUSE;
        }
        match listen(&args, options, &mut file).await? {
            End::Done => return Ok(()),
            End::Refused { failure, connected } if connected || was_good => {
                output::note(refused(&args.alias, &failure));
            }
            End::Refused { failure, .. } => return Err(failure),
        }
        file = register(&args, &api).await?;
        was_good = false;
    }
}

/// The note before a new registration. The refusal of a kept device does not reveal its reason.
fn refused(alias: &str, failure: &Failure) -> String {
    let (alias, reason) = (printable(alias), printable(&failure.reason()));
    format!("{alias}: {reason}; the service may not know this device any more: registering again")
}

async fn register(args: &Args, api: &Api) -> Result<DeviceFile, Failure> {
    DeviceFile::register(api, &args.alias, args.platform, None, args.reach.clone()).await
}

async fn listen(args: &Args, options: Options, file: &mut DeviceFile) -> Result<End, Failure> {
    let identity = Identity::from_answer(&file.registered)?;
    let (cursor, announced) = (file.cursor, file.announced);
    // A message that cannot be printed is not acknowledged, and is delivered again.
    let ack = Ack::Manual;
    let options = Options { cursor, announced, ack, ..options };
    let (device, mut events) = Device::open(identity, options);
    tokio::select! {
        end = print(args, &device, &mut events, file) => {
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

async fn print(args: &Args, device: &Device, events: &mut Events, file: &mut DeviceFile) -> Result<End, Failure> {
    // The last printed position is acknowledged once more: the first acknowledgement may have been lost.
    let printed = Some(file.cursor.filter(|at| at.seq > 0));
    let mut printer = Printer { json: args.json, style: Style::of_stdout(), device, printed };
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut connected = false;
    while left > 0 {
        let Some(event) = events.next().await else { return Ok(End::Done) };
        match event {
            Event::Connected => {
                connected = true;
                printer.note(&format!("connected as device {}", file.registered.id))?;
                printer.begin_replay();
            }
            Event::Message(received) => {
                left -= 1;
                printer.message(received.message, file)?;
            }
            Event::Announcement(announcement) => {
                let number = announcement.number;
                printer.announcement(announcement)?;
                file.announced = number;
                file.write()?;
            }
            Event::Synced(synced) => {
                if !synced.recovered {
                    printer.note("some messages are no longer kept and were missed")?;
                }
                printer.end_replay(Some(synced.position.epoch))?;
                file.advance(synced.position)?;
            }
            Event::Pong(_) | Event::RolledOver => {}
            Event::Refused(error) => printer.note(&format!("refused: {} ({})", error.detail, error.code))?,
            Event::Unreadable(unreadable) => printer.note(&format!("ignored: {unreadable}"))?,
            Event::Disconnected { loss, retry_in } => {
                let again = format!("again in {:.1} s", retry_in.as_secs_f64());
                printer.note(&format!("{}; {again}", Failure::from(loss).reason()))?;
            }
            Event::Closed(reason) => return closed(reason, connected),
        }
    }
    printer.end_replay(None)?;
    Ok(End::Done)
}

/// The consequence of a device's end for the command; `connected` if its socket has been open.
fn closed(reason: CloseReason, connected: bool) -> Result<End, Failure> {
    match reason {
        CloseReason::Asked => Ok(End::Done),
        CloseReason::CannotConnect(error) if error.is_refusal() => {
            let failure = Failure::from(error).hint("is the path of the socket's URL the stage, and the clock right?");
            Ok(End::Refused { failure, connected })
        }
        CloseReason::CannotConnect(error) => {
            Err(Failure::from(error).hint("it is ws:// or wss://, a host and the stage, as the output SocketUrl is"))
        }
    }
}

/// Prints messages and acknowledges them.
struct Printer<'a> {
    json: bool,
    style: Style,
    device: &'a Device,
    /// During a replay: the last position that was printed and not acknowledged. One frame acknowledges all of them.
    printed: Option<Option<Position>>,
}

impl Printer<'_> {
    fn note(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.line(&self.style.faint(text)) }
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        output::line(format_args!("{} {text}", self.style.faint(&clock())))
    }

    fn message(&mut self, message: MessageFrame, file: &mut DeviceFile) -> Result<(), Failure> {
        let message = Box::new(message);
        if self.json {
            output::json(&Frame::Message(message.clone()))?;
        } else {
            self.line(&one_line(&message, self.style))?;
        }
        let Some(position) = message.position else { return Ok(()) };
        file.advance(position)?;
        match &mut self.printed {
            Some(printed) => *printed = Some(position),
            None => self.device.ack(&message)?,
        }
        Ok(())
    }

    fn announcement(&self, announcement: Box<AnnouncementFrame>) -> Result<(), Failure> {
        if self.json {
            output::json(&Frame::Announcement(announcement))
        } else {
            self.line(&announced(&announcement, self.style))
        }
    }

    fn begin_replay(&mut self) {
        self.printed.get_or_insert(None);
    }

    /// Acknowledges the printed messages, unless they belong to a former mailbox.
    fn end_replay(&mut self, epoch: Option<u64>) -> Result<(), DeviceGone> {
        let printed = self.printed.take().flatten();
        let printed = printed.filter(|at| epoch.is_none_or(|epoch| epoch == at.epoch));
        printed.map_or(Ok(()), |position| self.device.ack_up_to(position))
    }
}

/// A message as a line: sender, text, data, position.
fn one_line(message: &MessageFrame, style: Style) -> String {
    let sender = message.content.sender.as_deref().or(message.from_user_name.as_deref());
    let place = message.position.map_or_else(String::new, |at| format!(" #{}", at.seq));
    format!("{}  {}", shown(sender, &message.content, style), style.faint(&format!("({}{place})", message.id)))
}

/// An announcement as a line, marked as one to everyone.
fn announced(announcement: &AnnouncementFrame, style: Style) -> String {
    let sender = announcement.from_user_name.as_deref();
    let shown = shown(sender, &announcement.content, style);
    format!("to everyone  {shown}  {}", style.faint(&format!("({})", announcement.id)))
}

fn shown(sender: Option<&str>, content: &Content, style: Style) -> String {
    let mut parts = Vec::new();
    if let Some(sender) = sender {
        parts.push(style.bold(&format!("{sender}:")));
    }
    parts.extend(content.alert.as_deref().map(|alert| style.bold(alert)));
    parts.extend(content.event.as_deref().map(|event| format!("[{}]", printable(event))));
    parts.extend(content.extra.as_ref().map(|extra| printable(&extra.to_string())));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::action::Position;

    #[test]
    fn a_refusal_is_not_called_a_missing_registration() {
        let note = refused("alice", &Failure::new("the connection was refused with 403 Forbidden"));
        let known =
            "alice: the connection was refused with 403 Forbidden; the service may not know this device any more";
        assert_eq!(note, format!("{known}: registering again"));
    }

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
                extra: Some(serde_json::json!({"order": "7\u{9b}2J"})),
                ..Content::default()
            },
        };
        assert_eq!(
            one_line(&message, Style::plain()),
            r#"shop:  Hello\u{1b}[2J\nyou  {"order":"7\u{9b}2J"}  (m-1 #3)"#
        );
    }
}
