//! `/v1/announcements`: messages of an app to everyone at once.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Content, FieldProblem, Open, Platform, Timestamp,
    fields::Fields,
    limits,
    send::{CONTENT_SYNONYMS, about_nothing, content},
};

/// An announcement to every user of an app and tenant. Absent options take the values that the answer or the list
/// names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::unconfirmed, transform = crate::send::sent)
)]
pub struct AnnounceRequest {
    /// The app. If given, it must be the app that the key belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub app_id: Option<String>,
    /// The tenant whose users receive it. Default: users of no tenant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub tenant_code: Option<String>,
    /// Only devices of this platform.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = Platform::All)))]
    pub platform: Option<Platform>,
    /// What the devices are given.
    #[serde(flatten)]
    pub content: Content,
    /// Seconds that it is kept for devices that are not connected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            range(min = *limits::ANNOUNCEMENT_TTL_SECONDS.start(), max = *limits::ANNOUNCEMENT_TTL_SECONDS.end()),
            extend("default" = limits::TTL_DEFAULT_SECONDS)
        )
    )]
    pub ttl: Option<u64>,
}

impl AnnounceRequest {
    /// Reads a request and names every field that is missing, empty, too long, of the wrong type or not known.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object).with_synonyms(CONTENT_SYNONYMS);
        let request = Self {
            app_id: fields.text("appId", limits::IDENTIFIER_CHARS),
            tenant_code: fields.name("tenantCode", limits::IDENTIFIER_CHARS),
            platform: fields.choice("platform"),
            content: content(&mut fields),
            ttl: fields.integer("ttl", &limits::ANNOUNCEMENT_TTL_SECONDS),
        };
        if request.content.need_confirm.is_some() {
            fields.refuse("needConfirm", "has no meaning here: devices do not confirm an announcement");
        }
        let mut problems = fields.into_problems();
        problems.extend(about_nothing(&request.content, &problems));
        if problems.is_empty() { Ok(request) } else { Err(problems) }
    }
}

/// The `202` answer: the announcement is stored, and on its way to connected devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnnounceAnswer {
    /// The announcement's id, for `/v1/announcements/{announcementId}`.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AnnouncementId"))]
    pub request_id: String,
    /// Its position among the announcements of the app and tenant. Numbers grow; they are not dense.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: u64,
    /// Seconds until it expires.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = *limits::ANNOUNCEMENT_TTL_SECONDS.start(), max = *limits::ANNOUNCEMENT_TTL_SECONDS.end()))
    )]
    pub ttl: u64,
}

/// What a backend asks for in the query of `GET /v1/announcements`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncementsRequest {
    /// The tenant within the app.
    pub tenant_code: Option<String>,
    /// Announcements at most.
    pub limit: u64,
    /// Only those before this number, at which the page before ended.
    pub before: Option<u64>,
}

impl AnnouncementsRequest {
    /// Reads the fields of a query, which record what is wrong.
    pub fn read(fields: &mut Fields) -> Self {
        Self {
            tenant_code: fields.name("tenantCode", limits::IDENTIFIER_CHARS),
            limit: fields.integer("limit", &limits::ANNOUNCEMENT_LIST).unwrap_or(limits::ANNOUNCEMENT_LIST_DEFAULT),
            before: fields.integer("before", &(1..=u64::MAX)),
        }
    }
}

/// A page of the announcements that are kept, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnnouncementsAnswer {
    /// The announcements, newest first.
    #[cfg_attr(feature = "schema", schemars(length(max = *limits::ANNOUNCEMENT_LIST.end())))]
    pub announcements: Vec<AnnouncementAnswer>,
    /// The `before` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub next: Option<u64>,
}

/// An announcement, as its sender sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::unconfirmed))]
pub struct AnnouncementAnswer {
    /// The announcement's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AnnouncementId"))]
    pub request_id: String,
    /// Its position among the announcements of the app and tenant.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: u64,
    /// Only devices of this platform.
    #[cfg_attr(feature = "schema", schemars(with = "Platform"))]
    pub platform: Open<Platform>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Until when it is kept for devices that are not connected.
    pub expires_at: Timestamp,
    /// When it was withdrawn, first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub withdrawn_at: Option<Timestamp>,
    /// Posts to connections that API Gateway accepted during the push; some connections may count twice. It does not
    /// show how many people have seen the announcement.
    pub posts: u64,
    /// What was announced.
    #[serde(flatten)]
    pub content: Content,
}

/// The answer to `DELETE /v1/announcements/{requestId}`: no device receives it that had not received it before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WithdrawAnswer {
    /// The announcement's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AnnouncementId"))]
    pub request_id: String,
    /// When it was withdrawn, first.
    pub withdrawn_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(value: &Value) -> Vec<String> {
        let parsed = AnnounceRequest::parse(value.as_object().unwrap().clone());
        parsed.unwrap_err().into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn reads_every_field_and_writes_it_again() {
        let value = serde_json::json!({
            "appId": "demo", "tenantCode": "t", "platform": "WEB", "pushMsgType": "MSG", "msgType": "text",
            "alert": "Hello", "extra": {"a": 1}, "event": "e", "sound": "ping", "badge": 3, "sender": "Shop",
            "sendDevice": "till", "source": {"platform": "pc"}, "category": "news", "tag": "vip", "ttl": 60,
        });
        let request = AnnounceRequest::parse(value.as_object().unwrap().clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), value);
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(problems(&serde_json::json!({})), ["alert"]);
        assert_eq!(problems(&serde_json::json!({"alert": "x", "ttl": 59})), ["ttl"]);
        assert_eq!(problems(&serde_json::json!({"alert": "x", "needConfirm": true})), ["needConfirm"]);
        assert_eq!(problems(&serde_json::json!({"alert": "x", "audiences": ["alice"]})), ["audiences"]);
    }

    #[test]
    fn a_query_is_read_strictly() {
        let parse = |query: &[(&str, &str)]| {
            let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut fields = Fields::of_query(pairs);
            let request = AnnouncementsRequest::read(&mut fields);
            let wrong: Vec<_> = fields.into_problems().into_iter().map(|it| it.field).collect();
            if wrong.is_empty() { Ok(request) } else { Err(wrong) }
        };
        let expected = AnnouncementsRequest { tenant_code: Some("7".into()), limit: 3, before: Some(9) };
        assert_eq!(parse(&[("limit", "3"), ("before", "9"), ("tenantCode", "7")]), Ok(expected));
        assert_eq!(
            parse(&[("limit", "0"), ("before", "x"), ("Limit", "1")]).unwrap_err(),
            ["limit", "before", "Limit"]
        );
        assert_eq!(parse(&[("limit", "3"), ("limit", "3")]).unwrap_err(), ["limit"]);
    }
}
