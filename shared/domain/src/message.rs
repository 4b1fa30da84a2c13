//! From a send request to a message that can be stored, queued and settled.

use std::collections::BTreeSet;

use tidings_wire::{
    FieldProblem, Platform, SendRequest, Timestamp, limits,
    send::{AudienceType, Channel, Content, Downgrade, Priority, PushMsgType},
};

use crate::{AppId, Delivery, MessageId, UserKey, fallback::Step};

/// A message that has been accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The app that sends it.
    pub app: AppId,
    /// The tenant within the app; empty for none.
    pub tenant: String,
    /// Who receives it.
    pub audience: Audience,
    /// Only devices of this platform.
    pub platform: Platform,
    /// What the devices are given.
    pub content: Content,
    /// Text of the SMS, where the sender gave one.
    pub sms: Option<String>,
    /// The fallback chain.
    pub steps: Vec<Step>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Seconds that it is kept for its recipients.
    pub ttl: u64,
    /// Whether it is kept at all.
    pub persist: bool,
    /// What takes effect differently from what the request says.
    pub downgrades: Vec<Downgrade>,
}

/// Who receives a message, as named by the sender, each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Users.
    Aliases(Vec<String>),
    /// The users behind these devices.
    Devices(Vec<String>),
}

impl Message {
    /// When the message expires for whoever has not confirmed it.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.accepted.plus_seconds(self.ttl)
    }

    /// The delivery for each of `aliases`.
    pub fn deliveries<'a>(&'a self, aliases: &'a [String]) -> impl Iterator<Item = Delivery> + 'a {
        aliases.iter().map(|alias| Delivery {
            id: self.id.clone(),
            user: UserKey { app: self.app.clone(), tenant: self.tenant.clone(), alias: alias.clone() },
            platform: self.platform,
            content: self.content.clone(),
            sms: self.sms.clone(),
            steps: self.steps.clone(),
            accepted: self.accepted,
            deadline: self.deadline(),
            persist: self.persist,
        })
    }
}

/// Accepts a request whose fields have been read: fills in defaults, names downgrades, and refuses what cannot be delivered.
///
/// # Errors
/// One [`FieldProblem`] for each field that cannot be honoured: a frame over [`limits::FRAME_PLAINTEXT_BYTES`], an
/// audience or a channel that this deployment does not serve.
pub fn accept(request: SendRequest, app: AppId, id: MessageId, now: Timestamp) -> Result<Message, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    let mut downgrades = Vec::new();
    let persist = request.persist.unwrap_or(true) && request.ttl != Some(0);
    if !persist && request.persist != Some(false) {
        let detail = "false: with a ttl of 0 only who is connected now receives the message";
        downgrades.push(Downgrade { field: "persist".to_owned(), detail: detail.to_owned() });
    }
    let steps = chain(&request, persist, &mut problems, &mut downgrades);
    unserved(&request, &mut problems, &mut downgrades);
    let audience = audience(&request, &mut problems);
    if let Some(problem) = too_large(&request.content) {
        problems.push(problem);
    }
    let mut content = request.content;
    content.push_msg_type.get_or_insert(PushMsgType::Msg);
    let (Some(audience), true) = (audience, problems.is_empty()) else {
        return Err(problems);
    };
    Ok(Message {
        id,
        app,
        tenant: request.tenant_code.unwrap_or_default(),
        audience,
        platform: request.platform.unwrap_or(Platform::All),
        content,
        sms: request.sms_message,
        steps,
        accepted: now,
        ttl: request.ttl.unwrap_or(limits::TTL_DEFAULT_SECONDS),
        persist,
        downgrades,
    })
}

/// The chain that the request asks for, or the one that its SMS text implies.
fn chain(
    request: &SendRequest,
    persist: bool,
    problems: &mut Vec<FieldProblem>,
    downgrades: &mut Vec<Downgrade>,
) -> Vec<Step> {
    let implied = request.sms_message.as_ref().map(|_| Step { channel: Channel::Sms, after: None });
    let steps: Vec<Step> = match &request.fallback {
        Some(asked) => asked.iter().map(|step| Step { channel: step.channel, after: step.after }).collect(),
        None => implied.into_iter().collect(),
    };
    for (index, step) in steps.iter().enumerate() {
        match step.channel {
            Channel::Sms | Channel::Email => {}
            Channel::Apns | Channel::Fcm | Channel::Webpush | Channel::Mipush | Channel::Webhook => {
                let detail = format!("`{}` is not served by this deployment; use sms or email", step.channel);
                problems.push(FieldProblem::new(format!("fallback[{index}].channel"), detail));
            }
        }
    }
    if !persist && !steps.is_empty() {
        let detail = "no fallback: a message that is not kept cannot be known to be unconfirmed";
        downgrades.push(Downgrade { field: "fallback".to_owned(), detail: detail.to_owned() });
        return Vec::new();
    }
    steps
}

/// Options of the interface that this version reads and does not carry out: refused where ignoring them would do the wrong
/// thing, said as a downgrade where the message still arrives.
fn unserved(request: &SendRequest, problems: &mut Vec<FieldProblem>, downgrades: &mut Vec<Downgrade>) {
    if request.send_at.is_some() {
        problems.push(FieldProblem::new("sendAt", "scheduled sends are not served by this version; leave it out"));
    }
    let mut downgrade = |field: &str, detail: &str| {
        downgrades.push(Downgrade { field: field.to_owned(), detail: detail.to_owned() });
    };
    if request.collapse_key.is_some() {
        downgrade("collapseKey", "not replaced: every message is kept and shown");
    }
    const BY_SYNC: &str = "redelivered when the device reconnects or syncs, not by a timer";
    if request.content.need_confirm == Some(true) {
        downgrade("needConfirm", BY_SYNC);
    }
    if request.duration.is_some() {
        downgrade("duration", BY_SYNC);
    }
    if request.priority == Some(Priority::High) {
        downgrade(
            "priority",
            "one user's messages are delivered in the order of their acceptance, whatever their priority",
        );
    }
}

fn audience(request: &SendRequest, problems: &mut Vec<FieldProblem>) -> Option<Audience> {
    // A name that stands twice receives once; the order of first mention stays.
    let mut seen = BTreeSet::new();
    let names: Vec<String> = request.audiences.iter().filter(|name| seen.insert(name.as_str())).cloned().collect();
    match request.audience_type.unwrap_or(AudienceType::Alias) {
        AudienceType::Alias => Some(Audience::Aliases(names)),
        AudienceType::Device => Some(Audience::Devices(names)),
        other @ (AudienceType::Tag | AudienceType::Group | AudienceType::Organisation | AudienceType::All) => {
            let detail = format!("`{other}` is not served by this version; use ALIAS or DEVICE");
            problems.push(FieldProblem::new("audienceType", detail));
            None
        }
    }
}

/// The content as it stands in the frame, beside an envelope of identifiers, must fit the frame's plaintext.
fn too_large(content: &Content) -> Option<FieldProblem> {
    let room = limits::FRAME_PLAINTEXT_BYTES - limits::FRAME_ENVELOPE_BYTES;
    let bytes = serde_json::to_vec(content).map_or(usize::MAX, |json| json.len());
    (bytes > room).then(|| {
        let detail = format!("the message takes {bytes} bytes as JSON with `alert` and `extra`; the limit is {room}");
        let field = if content.extra.is_some() { "extra" } else { "alert" };
        FieldProblem::new(field, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(value: serde_json::Value) -> SendRequest {
        SendRequest::parse(value.as_object().unwrap().clone()).unwrap()
    }

    fn accepted(value: serde_json::Value) -> Result<Message, Vec<FieldProblem>> {
        let id = MessageId::new(Timestamp(1), [0; 10]);
        accept(request(value), "demo".parse().unwrap(), id, Timestamp(1_000))
    }

    fn refused(value: serde_json::Value) -> Vec<String> {
        accepted(value).unwrap_err().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn defaults_are_said_by_their_values() {
        let message = accepted(serde_json::json!({"alert": "x", "audiences": ["b", "a", "b"]})).unwrap();
        assert_eq!(message.ttl, limits::TTL_DEFAULT_SECONDS);
        assert_eq!(message.audience, Audience::Aliases(vec!["b".into(), "a".into()]));
        assert_eq!(message.deadline(), Timestamp(1_000 + 259_200_000));
        assert!(message.persist && message.steps.is_empty() && message.downgrades.is_empty());
    }

    #[test]
    fn an_sms_text_makes_the_chain_and_a_chain_overrules_it() {
        let base = serde_json::json!({"alert": "x", "audiences": ["a"], "smsMessage": "y"});
        let implied = accepted(base.clone()).unwrap();
        assert_eq!(implied.steps, [Step { channel: Channel::Sms, after: None }]);
        let mut with = base;
        with["fallback"] = serde_json::json!([{"channel": "email", "after": 5}]);
        assert_eq!(accepted(with).unwrap().steps, [Step { channel: Channel::Email, after: Some(5) }]);
    }

    #[test]
    fn refuses_what_it_would_get_wrong_and_names_what_it_does_not_do() {
        let base = |more: serde_json::Value| {
            let mut value = serde_json::json!({"alert": "x", "audiences": ["a"]});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        assert_eq!(refused(base(serde_json::json!({"sendAt": "2026-11-22T08:00:00Z"}))), ["sendAt"]);
        assert_eq!(refused(base(serde_json::json!({"audienceType": "TAG"}))), ["audienceType"]);
        assert_eq!(refused(base(serde_json::json!({"fallback": [{"channel": "apns"}]}))), ["fallback[0].channel"]);
        let message =
            accepted(base(serde_json::json!({"collapseKey": "k", "needConfirm": true, "priority": "high"}))).unwrap();
        let named: Vec<_> = message.downgrades.iter().map(|downgrade| downgrade.field.as_str()).collect();
        assert_eq!(named, ["collapseKey", "needConfirm", "priority"]);
        let now_or_never = accepted(base(serde_json::json!({"ttl": 0, "smsMessage": "y"}))).unwrap();
        assert!(!now_or_never.persist && now_or_never.steps.is_empty());
        let named: Vec<_> = now_or_never.downgrades.iter().map(|downgrade| downgrade.field.as_str()).collect();
        assert_eq!(named, ["persist", "fallback"]);
    }

    #[test]
    fn a_message_fits_its_frame_to_the_byte() {
        let room = limits::FRAME_PLAINTEXT_BYTES - limits::FRAME_ENVELOPE_BYTES;
        let fixed = serde_json::to_vec(&Content { alert: Some(String::new()), ..Content::default() }).unwrap().len();
        let alert = |bytes: usize| serde_json::json!({"alert": "x".repeat(bytes), "audiences": ["a"]});
        assert!(accepted(alert(room - fixed)).is_ok());
        assert_eq!(refused(alert(room - fixed + 1)), ["alert"]);
        let extra = serde_json::json!({"alert": "x", "extra": "y".repeat(room), "audiences": ["a"]});
        assert_eq!(refused(extra), ["extra"]);
    }
}
