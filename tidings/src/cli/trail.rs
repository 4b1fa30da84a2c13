//! `tidings trail`: shows the trail of a message.

use std::time::Duration;

use tidings_wire::trail::{Event, RecipientTrail, State, Transition};
use tidings_wire::{Timestamp, Trail};

use super::target::{self, ApiArgs};
use sam_twin::cli::failure::Failure;
use sam_twin::cli::output;
use sam_twin::cli::style::{Style, printable};

/// The message.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The request id that `send` printed
    id: String,
    /// Follow the trail until the message is settled for every recipient and its fallback chain is over
    #[arg(long, short)]
    follow: bool,
    /// Print the trail as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

const EXAMPLES: &str = "\
Examples:
  tidings trail 0196f0a1-5c5e-7b1e-9d0c-3f6f0b1f2a3b
  tidings trail 0196f0a1-5c5e-7b1e-9d0c-3f6f0b1f2a3b --follow

A message is settled for a recipient when it is confirmed, fallback-delivered, expired, suppressed or failed.";

/// How often a trail that is followed is read again.
const PACE: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let api = args.api.resolve()?;
    let style = Style::of_stdout();
    let mut last = None;
    loop {
        let trail = api.backend.trail(&args.id).await.map_err(target::failure)?;
        let is_over = trail.recipients.iter().all(|recipient| is_over(recipient, &trail, Timestamp::now()));
        if last.as_ref() != Some(&trail) {
            if args.json {
                output::pretty_json(&trail)?;
            } else {
                output::print(rendered(&trail, last.as_ref(), style))?;
            }
        }
        if !args.follow || is_over {
            return Ok(());
        }
        last = Some(trail);
        tokio::time::sleep(PACE).await;
    }
}

/// Whether only a late confirmation can still follow. A message that a provider has accepted still goes on to the next
/// step until a device confirms it.
fn is_over(recipient: &RecipientTrail, trail: &Trail, now: Timestamp) -> bool {
    if recipient.state != State::FallbackDelivered {
        return recipient.state.is_settled();
    }
    let has = |events: &[Event]| recipient.transitions.iter().filter(|it| events.contains(&it.event)).count();
    let ended = has(&[Event::StepAccepted, Event::StepRefused, Event::StepSkipped, Event::StepUnknown]);
    let is_closed = has(&[Event::Cancelled, Event::Replaced]) > 0;
    is_closed || now > trail.expires_at || recipient.steps.is_none_or(|steps| ended >= steps)
}

/// The trail as lines; with an earlier trail, only the new lines.
fn rendered(trail: &Trail, earlier: Option<&Trail>, style: Style) -> String {
    let mut lines = Vec::new();
    if earlier.is_none() {
        lines.push(format!("{}  accepted {}", style.bold(&trail.request_id), trail.accepted_at));
        lines.extend(trail.send_at.map(|at| format!("sent {at}")));
        lines.push(style.faint(&format!("kept until {}", trail.expires_at)));
        for downgrade in &trail.downgrades {
            lines.push(format!("note: {}: {}", printable(&downgrade.field), printable(&downgrade.detail)));
        }
    }
    for recipient in &trail.recipients {
        let before = earlier.and_then(|trail| trail.recipients.iter().find(|before| before.alias == recipient.alias));
        if before == Some(recipient) {
            continue;
        }
        lines.push(heading(recipient, style));
        for transition in &recipient.transitions {
            if before.is_none_or(|before| !before.transitions.contains(transition)) {
                lines.push(line(transition, trail.accepted_at, style));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn heading(recipient: &RecipientTrail, style: Style) -> String {
    let state = recipient.state.as_str();
    let state = match recipient.state {
        State::Confirmed | State::FallbackDelivered => style.good(state),
        State::Expired | State::Suppressed | State::Failed => style.bad(state),
        State::Scheduled | State::Accepted | State::Pending => state.to_owned(),
    };
    format!("\n{}  {state}", style.bold(&recipient.alias))
}

fn line(transition: &Transition, accepted: Timestamp, style: Style) -> String {
    let millis = transition.at.0 - accepted.0;
    let after = format!("{:+}.{:03} s", millis / 1_000, millis.abs() % 1_000);
    let detail = transition.detail.as_ref().map(|detail| style.faint(&format!(" ({detail})"))).unwrap_or_default();
    format!("  {:>12}  {}{detail}", style.faint(&after), printable(&transition.sentence()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(state: &str, transitions: serde_json::Value) -> Trail {
        serde_json::from_value(serde_json::json!({
            "requestId": "m-1", "acceptedAt": "2026-11-22T08:00:00.000Z", "expiresAt": "2026-11-25T08:00:00.000Z",
            "recipients": [{"alias": "alice", "state": state, "epoch": 7, "seq": 3, "transitions": transitions}],
        }))
        .unwrap()
    }

    #[test]
    fn a_trail_reads_as_a_story() {
        let early = trail("accepted", serde_json::json!([{"at": "2026-11-22T08:00:00.000Z", "event": "accepted"}]));
        let late = trail(
            "fallback-delivered",
            serde_json::json!([
                {"at": "2026-11-22T08:00:00.000Z", "event": "accepted"},
                {"at": "2026-11-22T08:00:00.040Z", "event": "offline"},
                {"at": "2026-11-22T08:00:02.001Z", "event": "step-accepted", "step": 1, "channel": "apns",
                    "code": "e-9", "detail": "ttl 60 s"},
            ]),
        );
        assert_eq!(
            rendered(&late, None, Style::plain()),
            "m-1  accepted 2026-11-22T08:00:00.000Z\n\
             kept until 2026-11-25T08:00:00.000Z\n\
             \n\
             alice  fallback-delivered\n\
             \x20     +0.000 s  accepted: will be settled for every recipient\n\
             \x20     +0.040 s  no device was connected\n\
             \x20     +2.001 s  apns (step 2) accepted by the provider as e-9 (ttl 60 s)\n"
        );
        let new = rendered(&late, Some(&early), Style::plain());
        assert!(new.contains("no device") && !new.contains("m-1") && !new.contains("will be settled"), "{new}");
        assert!(rendered(&late, Some(&late), Style::plain()).is_empty());
    }

    #[test]
    fn what_others_wrote_in_a_trail_cannot_command_the_terminal() {
        let mut trail = trail(
            "failed",
            serde_json::json!([
                {"at": "2026-11-22T08:00:02.001Z", "event": "step-refused", "step": 0, "channel": "apns",
                    "code": "e\u{1b}[8m", "detail": "\u{202e}gone\nbob  confirmed"},
            ]),
        );
        trail.recipients[0].alias = "alice\u{1b}[2J\nbob".to_owned();
        let text = rendered(&trail, None, Style::plain());
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("\nalice\\u{1b}[2J\\nbob  failed\n"), "{text}");
        assert!(text.contains(r"e\u{1b}[8m") && text.contains(r"(\u{202e}gone\nbob  confirmed)"), "{text}");
    }
}
