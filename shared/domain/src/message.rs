//! From a send request to a message that can be stored, queued and settled.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidings_wire::{
    FieldProblem, Platform, SendRequest, Timestamp, limits,
    send::{AudienceType, Channel, Condition, Content, Downgrade, Priority, PushMsgType},
};

use crate::{
    AppId, Delivery, MessageId, UserKey, categories,
    chain::{Chains, Step},
    mailbox,
};

/// A message that has been accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    /// What must still hold when a step is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub condition: Option<Condition>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it is sent, where that is later than its acceptance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub send_at: Option<Timestamp>,
    /// Seconds that it is kept for its recipients, from the moment at which it is sent.
    pub ttl: u64,
    /// Whether it is kept at all.
    pub persist: bool,
    /// Its lane.
    pub priority: Priority,
    /// Seconds of redelivery, for one that is to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration: Option<u64>,
    /// What it replaces: the sender's key and the platform, as a digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub collapse: Option<String>,
    /// What takes effect differently from what the request says.
    pub downgrades: Vec<Downgrade>,
}

/// Who receives a message, as named by the sender, each name once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Audience {
    /// Users.
    Aliases(Vec<String>),
    /// The users behind these devices.
    Devices(Vec<String>),
}

impl Message {
    /// When it is sent: at once, or at the time that its sender has set. Its order, its life and its chain count from here.
    #[must_use]
    pub fn begins(&self) -> Timestamp {
        self.send_at.unwrap_or(self.accepted)
    }

    /// When the message expires for whoever has not confirmed it.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.begins().plus_seconds(self.ttl)
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
            condition: self.condition.clone(),
            accepted: self.begins(),
            deadline: self.deadline(),
            persist: self.persist,
            redeliver_until: self.duration.map(|duration| self.begins().plus_seconds(duration)),
            collapse: self.collapse.clone(),
            scheduled: self.send_at.is_some(),
        })
    }
}

/// Accepts a request whose fields have been read: fills in defaults, names downgrades, and refuses what cannot be delivered.
///
/// # Errors
/// One [`FieldProblem`] for each field that cannot be honoured: a frame over [`limits::FRAME_PLAINTEXT_BYTES`], an
/// audience or a channel that this deployment does not serve, a category that is not among the app's.
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
    let collapse = request.collapse_key.as_ref().map(|key| mailbox::collapse_digest(platform, key));
    if collapse.is_some() && !persist {
        downgrade(&mut downgrades, "collapseKey", "nothing is replaced by a message that is not kept");
    }
    let priority = lane(&request, &mut downgrades);
    let audience = audience(&request, &mut problems);
    problems.extend(categories::check(declared, request.content.category.as_deref()));
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
        platform,
        content,
        sms: request.sms_message,
        steps,
        condition,
        accepted: now,
        send_at,
        ttl,
        persist,
        priority,
        duration,
        collapse: collapse.filter(|_| persist),
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
        // What is sent now takes a moment to arrive.
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

/// When the message is sent, where the request says a time.
fn send_at(request: &SendRequest, now: Timestamp, problems: &mut Vec<FieldProblem>) -> Option<Timestamp> {
    let at = request.send_at?;
    if at <= now {
        problems.push(FieldProblem::new("sendAt", format!("must lie in the future; here it is {now}")));
    } else if at > now.plus_seconds(limits::SEND_AT_AHEAD_SECONDS) {
        let days = limits::SEND_AT_AHEAD_SECONDS / 86_400;
        problems.push(FieldProblem::new("sendAt", format!("must be at most {days} days ahead")));
    }
    // Timers count whole seconds; never before the time that was said.
    Some(Timestamp(at.0.saturating_add(999).div_euclid(1_000).saturating_mul(1_000)))
}

/// The lane. What goes to many travels apart from what goes to few, so that no single send waits for a bulk send.
fn lane(request: &SendRequest, downgrades: &mut Vec<Downgrade>) -> Priority {
    const MOST: usize = limits::HIGH_PRIORITY_RECIPIENTS;
    let many = request.audiences.len() > MOST;
    if many && request.priority == Some(Priority::High) {
        downgrade(downgrades, "priority", format!("normal: a message to more than {MOST} recipients is bulk"));
    }
    if many { Priority::Normal } else { request.priority.unwrap_or(Priority::High) }
}

/// The chain that the request asks for, or the one that its SMS text implies; else the app's own. Nobody is told by the app's
/// own of what is not to be shown, or not kept.
fn chain(request: &SendRequest, chains: &Chains, persist: bool, downgrades: &mut Vec<Downgrade>) -> Vec<Step> {
    let steps: Vec<Step> = match (&request.fallback, &request.sms_message) {
        (Some(asked), _) => asked.iter().map(|step| Step { channel: step.channel, after: step.after }).collect(),
        (None, Some(_)) => vec![Step { channel: Channel::Sms, after: None }],
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
pub(crate) fn too_large(content: &Content) -> Option<FieldProblem> {
    let room = limits::CONTENT_BYTES;
    let bytes = serde_json::to_vec(content).map_or(usize::MAX, |json| json.len());
    (bytes > room).then(|| {
        let detail = format!("it takes {bytes} bytes as JSON with `alert` and `extra`; the limit is {room}");
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
        accept(request(value), "demo".parse().unwrap(), &Chains::default(), &BTreeSet::new(), id, Timestamp(1_000))
    }

    fn refused(value: serde_json::Value) -> Vec<String> {
        accepted(value).unwrap_err().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_category_that_is_not_declared_is_told_beside_what_else_is_wrong() {
        let declared = ["orders".to_owned()].into();
        let fields = |more: serde_json::Value| {
            let id = MessageId::new(Timestamp(1), [0; 10]);
            let told = accept(
                request(with(more)),
                "demo".parse().unwrap(),
                &Chains::default(),
                &declared,
                id,
                Timestamp(1_000),
            );
            told.err().unwrap_or_default().into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert!(
            fields(serde_json::json!({})).is_empty() && fields(serde_json::json!({"category": "orders"})).is_empty()
        );
        assert_eq!(
            fields(serde_json::json!({"category": "order", "audienceType": "TAG"})),
            ["audienceType", "category"]
        );
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
    fn the_apps_chain_is_for_what_says_nothing_of_it() {
        let step = |channel| Step { channel, after: Some(60) };
        let chains = Chains {
            general: vec![step(Channel::Sms), step(Channel::Email)],
            categories: [("news".to_owned(), vec![]), ("orders".to_owned(), vec![step(Channel::Email)])].into(),
        };
        let steps = |more: serde_json::Value| {
            let mut value = serde_json::json!({"alert": "x", "audiences": ["a"]});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let id = MessageId::new(Timestamp(1), [0; 10]);
            let app = "demo".parse().unwrap();
            let message = accept(request(value), app, &chains, &BTreeSet::new(), id, Timestamp(1_000)).unwrap();
            assert_eq!(message.downgrades, [], "what nobody asked for is no downgrade");
            message.steps
        };
        assert_eq!(steps(serde_json::json!({})), chains.general);
        assert_eq!(steps(serde_json::json!({"category": "unknown"})), chains.general);
        assert_eq!(steps(serde_json::json!({"category": "orders"})), [step(Channel::Email)]);
        assert_eq!(steps(serde_json::json!({"category": "news"})), []);
        assert_eq!(steps(serde_json::json!({"fallback": []})), []);
        assert_eq!(steps(serde_json::json!({"category": "news", "smsMessage": "y"})).len(), 1);
        assert_eq!(steps(serde_json::json!({"pushMsgType": "CMD"})), [], "nobody is to see it");
        assert_eq!(steps(serde_json::json!({"persist": false})), [], "nobody can confirm it");
    }

    #[test]
    fn a_condition_is_for_steps() {
        let mut value = serde_json::json!({"alert": "x", "audiences": ["a"], "condition": {"itemOpen": "order:4711"}});
        let without = accepted(value.clone()).unwrap();
        assert_eq!((without.condition, without.downgrades[0].field.as_str()), (None, "condition"));
        value["smsMessage"] = "y".into();
        let with = accepted(value).unwrap();
        let aliases = ["a".to_owned()];
        assert_eq!(with.deliveries(&aliases).next().unwrap().condition, with.condition);
        assert!(with.condition.is_some() && with.downgrades.is_empty());
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

    fn with(more: serde_json::Value) -> serde_json::Value {
        let mut value = serde_json::json!({"alert": "x", "audiences": ["a"]});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    }

    /// What was downgraded, each as `field: detail` up to the first word that explains.
    fn downgraded(message: &Message) -> Vec<String> {
        let short = |detail: &str| detail.split(':').next().unwrap_or_default().to_owned();
        message.downgrades.iter().map(|it| format!("{}: {}", it.field, short(&it.detail))).collect()
    }

    #[test]
    fn refuses_what_this_version_does_not_serve() {
        assert_eq!(refused(with(serde_json::json!({"audienceType": "TAG"}))), ["audienceType"]);
    }

    #[test]
    fn what_is_not_kept_has_no_chain_no_redelivery_and_a_short_life() {
        let message =
            accepted(with(serde_json::json!({"ttl": 0, "smsMessage": "y", "needConfirm": true, "collapseKey": "k"})))
                .unwrap();
        assert_eq!((message.persist, message.ttl), (false, limits::TRANSIENT_SECONDS));
        assert!(message.steps.is_empty() && message.duration.is_none() && message.collapse.is_none());
        let named: Vec<_> = message.downgrades.iter().map(|downgrade| downgrade.field.as_str()).collect();
        assert_eq!(named, ["persist", "fallback", "needConfirm", "collapseKey"]);
        let long = accepted(with(serde_json::json!({"persist": false, "ttl": 241}))).unwrap();
        assert_eq!((long.ttl, downgraded(&long)), (240, vec!["ttl: 240".to_owned()]));
        let short = accepted(with(serde_json::json!({"persist": false, "ttl": 5}))).unwrap();
        assert_eq!((short.ttl, short.downgrades.len()), (5, 0));
    }

    #[test]
    fn redelivery_is_brought_within_its_limits_and_said() {
        let of = |more: serde_json::Value| {
            let mut value = more;
            value["needConfirm"] = true.into();
            let message = accepted(with(value)).unwrap();
            (message.duration, downgraded(&message))
        };
        let said = |detail: &str| vec![format!("duration: {detail}")];
        assert_eq!(of(serde_json::json!({})), (Some(259_200), vec![]));
        assert_eq!(of(serde_json::json!({"ttl": 2_000_000})), (Some(259_200), vec![]));
        assert_eq!(of(serde_json::json!({"ttl": 60})), (Some(60), vec![]));
        assert_eq!(of(serde_json::json!({"duration": 300})), (Some(300), vec![]));
        assert_eq!(of(serde_json::json!({"duration": 299})), (Some(300), said("300")));
        assert_eq!(of(serde_json::json!({"duration": 259_201})), (Some(259_200), said("259200")));
        assert_eq!(of(serde_json::json!({"duration": 600, "ttl": 60})), (Some(60), said("60")));
        let unasked = accepted(with(serde_json::json!({"duration": 600}))).unwrap();
        assert_eq!((unasked.duration, unasked.downgrades.len()), (None, 1));
    }

    #[test]
    fn a_message_is_sent_later_within_a_year_to_the_second() {
        let at = |millis: i64| with(serde_json::json!({"sendAt": Timestamp(millis), "ttl": 60}));
        let year = i64::try_from(limits::SEND_AT_AHEAD_SECONDS).unwrap() * 1_000;
        assert_eq!(refused(at(1_000)), ["sendAt"]);
        assert_eq!(refused(at(1_001 + year)), ["sendAt"]);
        assert!(accepted(at(1_000 + year)).is_ok());
        let message = accepted(at(1_001)).unwrap();
        assert_eq!((message.begins(), message.deadline()), (Timestamp(2_000), Timestamp(62_000)));
        assert_eq!(message.deliveries(&["a".to_owned()]).next().unwrap().accepted, Timestamp(2_000));
    }

    #[test]
    fn what_goes_to_many_goes_in_the_lane_of_bulk() {
        let to = |count: usize, priority: Option<&str>| {
            let names: Vec<_> = (0..count).map(|n| n.to_string()).collect();
            let message = accepted(with(serde_json::json!({"audiences": names, "priority": priority}))).unwrap();
            (message.priority, message.downgrades.len())
        };
        assert_eq!(to(25, None), (Priority::High, 0));
        assert_eq!(to(26, None), (Priority::Normal, 0));
        assert_eq!(to(1, Some("normal")), (Priority::Normal, 0));
        assert_eq!(to(26, Some("high")), (Priority::Normal, 1));
    }

    #[test]
    fn a_message_fits_its_frame_to_the_byte() {
        let room = limits::CONTENT_BYTES;
        let fixed = serde_json::to_vec(&Content { alert: Some(String::new()), ..Content::default() }).unwrap().len();
        let alert = |bytes: usize| serde_json::json!({"alert": "x".repeat(bytes), "audiences": ["a"]});
        assert!(accepted(alert(room - fixed)).is_ok());
        assert_eq!(refused(alert(room - fixed + 1)), ["alert"]);
        let extra = serde_json::json!({"alert": "x", "extra": "y".repeat(room), "audiences": ["a"]});
        assert_eq!(refused(extra), ["extra"]);
    }
}
