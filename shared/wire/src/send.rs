//! `POST /v1/messages`: the request, and the answer with `202`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    FieldProblem, Platform, Timestamp, Version,
    choice::choice,
    fields::{Fields, Synonyms},
    limits, name,
    open::{Open, known},
};

pub use crate::channel::{Channel, Destination};

choice! {
    /// What the names in `audiences` are.
    AudienceType {
        /// User names in the app.
        Alias = "ALIAS",
        /// Device ids: the users who hold the devices now receive the message.
        Device = "DEVICE",
    }
}

choice! {
    /// Whether a message is shown or handed to the app. The service treats both alike.
    PushMsgType {
        /// Shown.
        Msg = "MSG",
        /// Handed to the app without anything shown.
        Cmd = "CMD",
    }
}

choice! {
    /// Kind of content, for the app.
    MsgType {
        /// Plain text.
        Text = "text",
        /// Something happened; see `event`.
        Event = "event",
        /// A picture.
        Image = "image",
        /// A recording.
        Voice = "voice",
        /// A link.
        Link = "link",
        /// A file.
        File = "file",
    }
}

choice! {
    /// The lane of a message. One user's messages of one lane arrive in the order in which they were accepted.
    Priority {
        /// A lane that no bulk send is in, for at most [`limits::HIGH_PRIORITY_RECIPIENTS`] recipients.
        High = "high",
        /// The lane of bulk sends.
        Normal = "normal",
    }
}

/// One step of a fallback chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct FallbackStep {
    /// The channel by which the step delivers.
    pub channel: Channel,
    /// Seconds after the end of the step before. For the first step: after acceptance, or after `sendAt`; the default
    /// is 0 for a user whom no post reached, and 60 for others. For later steps the default is 60.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(max = *limits::FALLBACK_AFTER_SECONDS.end())))]
    pub after: Option<u64>,
}

/// What must hold when a fallback step is due, by the newest data: all of it. If it does not hold, the step is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::request, extend("minProperties" = 1))
)]
pub struct Condition {
    /// A device that the message is for is registered with an older `clientVersion` than this one, which is released,
    /// or with none that is a version; pushes go to those devices alone. A user without devices has nothing that is up
    /// to date.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = limits::IDENTIFIER_CHARS), regex(pattern = r"^\d+(\.\d+){0,3}(\+.*)?$"))
    )]
    pub client_version_below: Option<String>,
    /// The item of this name is open: the app has not closed it at `/v1/items/{item}`. `.`, `..` and names with `/`,
    /// `?` or `%` are refused, because paths do not carry them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = limits::ITEM_CHARS),
            regex(pattern = r"^[^/?%]*[^/?%\s][^/?%]*$"),
            extend("not" = {"enum": [".", ".."]})
        )
    )]
    pub item_open: Option<String>,
}

/// What a message comes from, for the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct Source {
    /// Platform of the sending client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NAME_CHARS)))]
    pub platform: Option<String>,
    /// Product that sends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NAME_CHARS)))]
    pub product: Option<String>,
}

/// What a device receives of a message: the part of a send request that travels in the frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::texts))]
pub struct Content {
    /// Shown (`MSG`) or handed to the app (`CMD`).
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "known::deserialize")]
    pub push_msg_type: Option<PushMsgType>,
    /// Kind of content, for the app.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "known::deserialize")]
    pub msg_type: Option<MsgType>,
    /// The text that is shown; required if there is no `extra`. All content fields together may take
    /// [`limits::CONTENT_BYTES`] bytes as JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::FRAME_PLAINTEXT_BYTES)))]
    pub alert: Option<String>,
    /// The app's own data, any JSON; required if there is no `alert`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::any"))]
    pub extra: Option<Value>,
    /// Name of what happened, for `msgType` `event`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub event: Option<String>,
    /// Sound to play, for the app.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NAME_CHARS)))]
    pub sound: Option<String>,
    /// Number on the app's icon.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(max = *limits::BADGE.end())))]
    pub badge: Option<u64>,
    /// Who sends, as shown. The subject of a message's email begins with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NAME_CHARS)))]
    pub sender: Option<String>,
    /// Device that sends, as shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::NAME_CHARS)))]
    pub send_device: Option<String>,
    /// What the message comes from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
    /// What the app lists by; preferences and the app's chains go by that of a message. One of the app's categories, if
    /// it has declared any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub category: Option<String>,
    /// What the app filters by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub tag: Option<String>,
    /// Whether the message is redelivered until a device confirms it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub need_confirm: Option<bool>,
}

/// A message. Absent options take the effective values that the answer names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = sent))]
pub struct SendRequest {
    /// The app. If given, it must be the app that the key belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub app_id: Option<String>,
    /// The tenant of the recipients. Default: users of no tenant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub tenant_code: Option<String>,
    /// Only devices of this platform.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = Platform::All)))]
    pub platform: Option<Platform>,
    /// What `audiences` names: users, or devices that stand for the users who hold them now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = AudienceType::Alias)))]
    pub audience_type: Option<AudienceType>,
    /// Who receives the message. A name that stands twice receives once. `ALL` is no alias: an announcement reaches
    /// everyone.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = limits::RECIPIENTS),
            inner(length(max = limits::ALIAS_CHARS)),
            transform = crate::schema::without_default,
            transform = crate::schema::of_aliases
        )
    )]
    pub audiences: Vec<String>,
    /// What the devices are given.
    #[serde(flatten)]
    pub content: Content,
    /// Text of the SMS. Without `fallback` it makes a chain of one SMS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::SMS_CHARS)))]
    pub sms_message: Option<String>,
    /// Seconds during which a message with `needConfirm` is redelivered, brought within [`limits::DURATION_SECONDS`]
    /// and the `ttl`. Default: as long as that allows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration: Option<u64>,
    /// Seconds until the message expires. 0 is for devices that are connected now, as `persist: false` is; with the
    /// latter at most [`limits::TRANSIENT_SECONDS`] hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(range(max = *limits::TTL_SECONDS.end()), extend("default" = limits::TTL_DEFAULT_SECONDS))
    )]
    pub ttl: Option<u64>,
    /// Its lane. Default: `high` for up to [`limits::HIGH_PRIORITY_RECIPIENTS`] recipients and `normal` for more;
    /// `high` for more is brought down to `normal`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub priority: Option<Priority>,
    /// The message replaces what has not been shown yet under the same key and `platform`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub collapse_key: Option<String>,
    /// When to send it, RFC 3339 with any offset, rounded up to a second: in the future, and at most 365 days ahead.
    /// Default: now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::moment"))]
    pub send_at: Option<Timestamp>,
    /// Whether the message is kept for devices that are not connected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = true)))]
    pub persist: Option<bool>,
    /// Steps around the socket, taken in this order until a device confirms, at most
    /// [`limits::FALLBACK_PAID_STEPS`] of them `sms` and as many `email`. Without them and without `smsMessage`, those
    /// that the app has for the `category`, else for all; an empty list is no step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = limits::FALLBACK_STEPS), extend("allOf" = crate::channel::paid_steps()))
    )]
    pub fallback: Option<Vec<FallbackStep>>,
    /// What must still hold when a step is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub condition: Option<Condition>,
}

/// The rule of a request to send beside its fields: there is something to show or to pass to the app. The content's
/// defaults hold here alone, since a frame has effective values.
#[cfg(feature = "schema")]
pub(crate) fn sent(schema: &mut schemars::Schema) {
    use serde_json::json;
    crate::schema::request(schema);
    schema.insert("anyOf".to_owned(), json!([{"required": ["alert"]}, {"required": ["extra"]}]));
    let defaults = [("pushMsgType", json!(PushMsgType::Msg)), ("needConfirm", json!(false))];
    for (name, default) in defaults {
        if let Some(Value::Object(field)) = schema.get_mut("properties").and_then(|all| all.get_mut(name)) {
            field.insert("default".to_owned(), default);
        }
    }
}

impl SendRequest {
    /// Reads a request and names every field that is missing, empty, too long, of the wrong type or not known.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object).with_synonyms(CONTENT_SYNONYMS).with_synonyms(SYNONYMS);
        let is_to_everyone = fields.peek("audienceType").is_some_and(name::is_everyone);
        let listed = fields.aliases("audiences", limits::RECIPIENTS);
        let request = Self {
            app_id: fields.text("appId", limits::IDENTIFIER_CHARS),
            tenant_code: fields.name("tenantCode", limits::IDENTIFIER_CHARS),
            platform: fields.choice("platform"),
            audience_type: audience_type(&mut fields),
            audiences: Vec::new(),
            content: content(&mut fields),
            sms_message: fields.text("smsMessage", limits::SMS_CHARS),
            duration: fields.integer("duration", &(0..=u64::MAX)),
            ttl: fields.integer("ttl", &limits::TTL_SECONDS),
            priority: fields.choice("priority"),
            collapse_key: fields.name("collapseKey", limits::IDENTIFIER_CHARS),
            send_at: moment(&mut fields, "sendAt"),
            persist: fields.boolean("persist"),
            fallback: fields.objects("fallback", limits::FALLBACK_STEPS, step),
            condition: fields.object("condition", condition),
        };
        let mut problems = fields.into_problems();
        let is_read = !problems.iter().any(|problem| problem.field.starts_with("fallback"));
        let chain = request.fallback.iter().flatten().map(|step| step.channel);
        if let Some((step, channel)) = Channel::too_often(chain).filter(|_| is_read) {
            problems.push(FieldProblem::new(format!("fallback[{step}].channel"), paid_too_often(channel)));
        }
        let named = problems.iter().any(|problem| problem.field.starts_with("audiences"));
        if listed.as_ref().is_none_or(Vec::is_empty) && !is_to_everyone && !named {
            problems.insert(0, FieldProblem::new("audiences", "must name at least one recipient"));
        }
        problems.extend(about_nothing(&request.content, &problems));
        let says_nothing = request.condition == Some(Condition::default());
        if says_nothing && !problems.iter().any(|problem| problem.field.starts_with("condition")) {
            problems.push(FieldProblem::new("condition", "must name what has to hold"));
        }
        if problems.is_empty() { Ok(Self { audiences: listed.unwrap_or_default(), ..request }) } else { Err(problems) }
    }
}

/// What is wrong with a step by a channel that a chain has often enough.
#[must_use]
pub fn paid_too_often(channel: Channel) -> String {
    format!("must not be {channel} once more: a chain has at most {} steps by it", limits::FALLBACK_PAID_STEPS)
}

/// What other services call the content of a message, in lower case, and what stands for it here.
pub(crate) const CONTENT_SYNONYMS: Synonyms = &[
    ("title", "what is shown as the title is `sender`"),
    ("subject", "what is shown as the title is `sender`"),
    ("body", "the text is `alert`"),
    ("message", "the text is `alert`"),
    ("content", "the text is `alert`"),
    ("text", "the text is `alert`"),
    ("url", "a link is the app's own data, in `extra`"),
    ("link", "a link is the app's own data, in `extra`"),
    ("clickaction", "a link is the app's own data, in `extra`"),
    ("img", "a picture is the app's own data, in `extra`"),
    ("image", "a picture is the app's own data, in `extra`"),
    ("icon", "a picture is the app's own data, in `extra`"),
    ("data", "the app's own data is `extra`"),
    ("payload", "the app's own data is `extra`"),
    ("timetolive", "the seconds until it expires are `ttl`"),
    ("expiry", "the seconds until it expires are `ttl`"),
    ("expiration", "the seconds until it expires are `ttl`"),
    ("tenant", "the tenant is `tenantCode`"),
];

/// The same for what only a message has.
const SYNONYMS: Synonyms = &[
    (
        "topic",
        "there are no topics: name users in `audiences`, or announce it to everyone with `POST /v1/announcements`",
    ),
    ("to", "users are named in `audiences`"),
    ("alias", "users are named in `audiences`"),
    ("aliases", "users are named in `audiences`"),
    ("users", "users are named in `audiences`"),
    ("recipients", "users are named in `audiences`"),
    ("sendtime", "the time to send it is `sendAt`"),
    ("sendafter", "the time to send it is `sendAt`"),
    ("scheduledat", "the time to send it is `sendAt`"),
    ("collapseid", "what replaces an older message is `collapseKey`"),
];

/// What the names in `audiences` are. `ALL` is none of it, and has a way that reaches everyone.
fn audience_type(fields: &mut Fields) -> Option<AudienceType> {
    const NAME: &str = "audienceType";
    if fields.peek(NAME).is_some_and(name::is_everyone) {
        fields.value(NAME);
        fields.refuse(NAME, name::EVERYONE);
        return None;
    }
    fields.choice(NAME)
}

/// The problem of content that is empty, unless its text is among the problems already.
pub(crate) fn about_nothing(content: &Content, problems: &[FieldProblem]) -> Option<FieldProblem> {
    let nothing = content.alert.is_none() && content.extra.is_none();
    let named = problems.iter().any(|problem| problem.field == "alert");
    (nothing && !named).then(|| FieldProblem::new("alert", "is required if there is no `extra`"))
}

pub(crate) fn content(fields: &mut Fields) -> Content {
    Content {
        push_msg_type: fields.choice("pushMsgType"),
        msg_type: fields.choice("msgType"),
        alert: fields.text("alert", limits::FRAME_PLAINTEXT_BYTES),
        extra: fields.value("extra"),
        event: fields.name("event", limits::IDENTIFIER_CHARS),
        sound: fields.text("sound", limits::NAME_CHARS),
        badge: fields.integer("badge", &limits::BADGE),
        sender: fields.text("sender", limits::NAME_CHARS),
        send_device: fields.name("sendDevice", limits::NAME_CHARS),
        source: fields.object("source", |source| {
            Some(Source {
                platform: source.name("platform", limits::NAME_CHARS),
                product: source.name("product", limits::NAME_CHARS),
            })
        }),
        category: fields.name("category", limits::IDENTIFIER_CHARS),
        tag: fields.name("tag", limits::IDENTIFIER_CHARS),
        need_confirm: fields.boolean("needConfirm"),
    }
}

fn step(fields: &mut Fields) -> Option<FallbackStep> {
    fields.require("channel");
    let channel = fields.choice("channel");
    let after = fields.integer("after", &limits::FALLBACK_AFTER_SECONDS);
    Some(FallbackStep { channel: channel?, after })
}

fn condition(fields: &mut Fields) -> Option<Condition> {
    const VERSION: &str = "clientVersionBelow";
    let client_version_below = fields.name(VERSION, limits::IDENTIFIER_CHARS);
    if client_version_below.as_deref().is_some_and(|text| !Version::parse(text).is_some_and(Version::is_release)) {
        fields.refuse(VERSION, "must be one to four whole numbers with dots between them, for example 2.10.0");
    }
    let item_open = fields.name("itemOpen", limits::ITEM_CHARS);
    if let Some(Err(detail)) = item_open.as_deref().map(name::check_segment) {
        fields.refuse("itemOpen", detail);
    }
    Some(Condition { client_version_below, item_open })
}

fn moment(fields: &mut Fields, name: &'static str) -> Option<Timestamp> {
    let value = fields.value(name)?;
    let moment = serde_json::from_value(value).ok();
    if moment.is_none() {
        fields.refuse(name, "must be a time as in RFC 3339, for example 2026-11-22T08:00:00Z");
    }
    moment
}

/// An option that takes effect differently from the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Downgrade {
    /// The field.
    pub field: String,
    /// What holds instead, and why.
    pub detail: String,
}

/// The `202` answer: the message is stored and queued, and will be settled for every recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SendAnswer {
    /// The message's id, for its trail at `/v1/messages/{messageId}`.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::MessageId"))]
    pub request_id: String,
    /// How many users receive it.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = limits::RECIPIENTS)))]
    pub recipients: usize,
    /// Seconds until it expires.
    #[cfg_attr(feature = "schema", schemars(range(max = *limits::TTL_SECONDS.end())))]
    pub ttl: u64,
    /// Its lane.
    #[cfg_attr(feature = "schema", schemars(with = "Priority"))]
    pub priority: Open<Priority>,
    /// Seconds of redelivery, for a message with `needConfirm`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(max = *limits::DURATION_SECONDS.end())))]
    pub duration: Option<u64>,
    /// When it is sent, if that is later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub send_at: Option<Timestamp>,
    /// Options that take effect differently from the request. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub downgrades: Vec<Downgrade>,
}

/// The answer to `DELETE /v1/messages/{requestId}`: nothing of the message begins after it that had not begun before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CancelAnswer {
    /// The message's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::MessageId"))]
    pub request_id: String,
    /// When it was cancelled.
    pub cancelled_at: Timestamp,
}

#[cfg(test)]
mod tests;
