//! The acceptance of a send request.

use std::collections::BTreeSet;

use tidings_wire::{
    FieldProblem, Platform, SendRequest, Timestamp, limits,
    send::{AudienceType, Channel, Content, Downgrade, Priority, PushMsgType},
};

use super::{Audience, Message};
use crate::{
    AppId, Letter, MessageId, More, categories,
    chain::{Chains, Step},
    letter::collapse_digest,
};

/// Accepts a request whose fields have been read: fills in defaults, names downgrades, and refuses what cannot be
/// delivered.
///
/// # Errors
/// One [`FieldProblem`] for each field that cannot be honoured: a frame over [`limits::FRAME_PLAINTEXT_BYTES`], a
/// time that does not lie ahead, a category that is not among the app's.
pub fn accept(
    request: SendRequest,
    app: AppId,
    chains: &Chains,
    declared: &BTreeSet<String>,
    id: MessageId,
    now: Timestamp,
) -> Result<Message, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    let mut downgrades = Vec::new();
    let (persist, ttl) = life(&request, &mut downgrades);
    let steps = chain(&request, chains, persist, &mut downgrades);
    let condition = request.condition.clone().filter(|_| !steps.is_empty());
    if condition != request.condition {
        downgrade(&mut downgrades, "condition", "no effect: there are no fallback steps");
    }
    let duration = redelivery(&request, persist, ttl, &mut downgrades);
    let send_at = send_at(&request, now, &mut problems);
    let platform = request.platform.unwrap_or(Platform::All);
    let collapse = request.collapse_key.as_ref().map(|key| collapse_digest(platform, key));
    if collapse.is_some() && !persist {
        downgrade(&mut downgrades, "collapseKey", "nothing is replaced by a message that is not kept");
    }
    let priority = lane(&request, &mut downgrades);
    problems.extend(categories::check(declared, request.content.category.as_deref()));
    if let Some(problem) = too_large(&request.content) {
        problems.push(problem);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let audience = audience(&request);
    let mut content = request.content;
    content.push_msg_type.get_or_insert(PushMsgType::Msg);
    let begins = send_at.unwrap_or(now);
    let letter = Letter {
        id,
        platform: platform.into(),
        content: content.into(),
        sms: request.sms_message,
        steps,
        condition,
        accepted: begins,
        deadline: begins.plus_seconds(ttl),
        redeliver_until: duration.map(|duration| begins.plus_seconds(duration)),
        collapse: collapse.filter(|_| persist),
        more: More::default(),
    };
    let tenant = request.tenant_code.unwrap_or_default();
    Ok(Message {
        letter,
        app,
        tenant,
        audience,
        accepted: now,
        send_at,
        ttl,
        persist,
        priority: priority.into(),
        duration,
        downgrades,
    })
}

fn downgrade(downgrades: &mut Vec<Downgrade>, field: &str, detail: impl Into<String>) {
    downgrades.push(Downgrade { field: field.to_owned(), detail: detail.into() });
}

/// Whether a message is kept, and how long it lives.
fn life(request: &SendRequest, downgrades: &mut Vec<Downgrade>) -> (bool, u64) {
    if request.persist.unwrap_or(true) && request.ttl != Some(0) {
        return (true, request.ttl.unwrap_or(limits::TTL_DEFAULT_SECONDS));
    }
    if request.persist != Some(false) {
        downgrade(downgrades, "persist", "false: with a ttl of 0 only who is connected now receives the message");
    }
    const LONGEST: u64 = limits::TRANSIENT_SECONDS;
    match request.ttl {
        Some(asked) if asked > LONGEST => {
            downgrade(downgrades, "ttl", format!("{LONGEST}: a message that is not kept lives no longer"));
            (false, LONGEST)
        }
        // A message that is sent now takes a moment to arrive.
        None | Some(0) => (false, LONGEST),
        Some(asked) => (false, asked),
    }
}

/// For how many seconds a message is redelivered until it is confirmed.
fn redelivery(request: &SendRequest, persist: bool, ttl: u64, downgrades: &mut Vec<Downgrade>) -> Option<u64> {
    if request.content.need_confirm != Some(true) {
        if request.duration.is_some() {
            downgrade(downgrades, "duration", "no effect without `needConfirm`");
        }
        return None;
    }
    if !persist {
        downgrade(downgrades, "needConfirm", "not redelivered: a message that is not kept is sent once");
        return None;
    }
    let (shortest, longest) = (*limits::DURATION_SECONDS.start(), *limits::DURATION_SECONDS.end());
    let within = request.duration.unwrap_or(longest).clamp(shortest, longest);
    let duration = within.min(ttl);
    if let Some(asked) = request.duration.filter(|asked| *asked != duration) {
        let why = if duration < within {
            "it ends with the `ttl`".to_owned()
        } else if asked < shortest {
            format!("the shortest is {shortest}")
        } else {
            format!("the longest is {longest}")
        };
        downgrade(downgrades, "duration", format!("{duration}: {why}"));
    }
    Some(duration)
}

/// When the message is sent, if the request names a time.
fn send_at(request: &SendRequest, now: Timestamp, problems: &mut Vec<FieldProblem>) -> Option<Timestamp> {
    let at = request.send_at?;
    if at <= now {
        problems.push(FieldProblem::new("sendAt", format!("must lie in the future; here it is {now}")));
    } else if at > now.plus_seconds(limits::SEND_AT_AHEAD_SECONDS) {
        let days = limits::SEND_AT_AHEAD_SECONDS / 86_400;
        problems.push(FieldProblem::new("sendAt", format!("must be at most {days} days ahead")));
    }
    // Timers count whole seconds; never before the requested time.
    Some(Timestamp(at.0.saturating_add(999).div_euclid(1_000).saturating_mul(1_000)))
}

/// The lane. Messages to many recipients travel apart from those to few, so that no single send waits for a bulk send.
fn lane(request: &SendRequest, downgrades: &mut Vec<Downgrade>) -> Priority {
    const MOST: usize = limits::HIGH_PRIORITY_RECIPIENTS;
    let many = request.audiences.len() > MOST;
    if many && request.priority == Some(Priority::High) {
        downgrade(downgrades, "priority", format!("normal: a message to more than {MOST} recipients is bulk"));
    }
    if many { Priority::Normal } else { request.priority.unwrap_or(Priority::High) }
}

/// The chain that the request asks for, or the one that its SMS text implies; else the app's own. The app's own chain
/// is not for messages that no person sees, or that are not kept.
fn chain(request: &SendRequest, chains: &Chains, persist: bool, downgrades: &mut Vec<Downgrade>) -> Vec<Step> {
    let steps: Vec<Step> = match (&request.fallback, &request.sms_message) {
        (Some(asked), _) => asked.iter().map(|step| Step { channel: step.channel.into(), after: step.after }).collect(),
        (None, Some(_)) => vec![Step { channel: Channel::Sms.into(), after: None }],
        (None, None) if persist && request.content.push_msg_type != Some(PushMsgType::Cmd) => {
            return chains.of(request.content.category.as_deref()).to_vec();
        }
        (None, None) => Vec::new(),
    };
    if !persist && !steps.is_empty() {
        downgrade(downgrades, "fallback", "none: a message that is not kept cannot be known to be unconfirmed");
        return Vec::new();
    }
    steps
}

fn audience(request: &SendRequest) -> Audience {
    // A name that occurs twice receives once; the order of the first mentions stays.
    let mut seen = BTreeSet::new();
    let names: Vec<String> = request.audiences.iter().filter(|name| seen.insert(name.as_str())).cloned().collect();
    match request.audience_type.unwrap_or(AudienceType::Alias) {
        AudienceType::Alias => Audience::Aliases(names),
        AudienceType::Device => Audience::Devices(names),
    }
}

/// Checks that the recipients fit the message's record together. Only device ids can stand for more: aliases that a
/// request names have to fit the request's body.
///
/// # Errors
/// A [`FieldProblem`] of `audiences`, if the aliases take more than [`limits::RECIPIENTS_BYTES`].
pub fn check_recipients(aliases: &[String]) -> Result<(), FieldProblem> {
    const MOST: usize = limits::RECIPIENTS_BYTES;
    let bytes: usize = aliases.iter().map(String::len).sum();
    if bytes <= MOST {
        return Ok(());
    }
    let detail = format!(
        "the aliases behind these devices take {bytes} bytes together; the limit is {MOST}: \
         send to fewer devices at a time"
    );
    Err(FieldProblem::new("audiences", detail))
}

/// Checks that the content, beside an envelope of identifiers, fits the frame's plaintext.
pub(crate) fn too_large(content: &Content) -> Option<FieldProblem> {
    let room = limits::CONTENT_BYTES;
    let bytes = serde_json::to_vec(content).map_or(usize::MAX, |json| json.len());
    (bytes > room).then(|| {
        let detail = format!("it takes {bytes} bytes as JSON with `alert` and `extra`; the limit is {room}");
        let field = if content.extra.is_some() { "extra" } else { "alert" };
        FieldProblem::new(field, detail)
    })
}
