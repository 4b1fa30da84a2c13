//! `/v1/announcements`: what an app says to everyone at once.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Content, FieldProblem, Platform, Timestamp,
    fields::Fields,
    limits,
    send::{about_nothing, content},
};

/// Announces something to every user of an app and tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnounceRequest {
    /// The app; must be the one that the key belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app_id: Option<String>,
    /// The tenant within the app, whose users are told and no others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant_code: Option<String>,
    /// Only devices of this platform. Default: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform: Option<Platform>,
    /// What the devices are given.
    #[serde(flatten)]
    pub content: Content,
    /// Seconds that it is kept for who is not connected, within [`limits::ANNOUNCEMENT_TTL_SECONDS`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttl: Option<u64>,
}

impl AnnounceRequest {
    /// Reads a request and names every field that is missing, empty, too long, of the wrong type or not known.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object);
        let request = Self {
            app_id: fields.text("appId", limits::IDENTIFIER_CHARS),
            tenant_code: fields.text("tenantCode", limits::IDENTIFIER_CHARS),
            platform: fields.choice("platform"),
            content: content(&mut fields),
            ttl: fields.integer("ttl", &limits::ANNOUNCEMENT_TTL_SECONDS),
        };
        if request.content.need_confirm.is_some() {
            fields.refuse("needConfirm", "has no meaning here: nobody confirms an announcement");
        }
        let mut problems = fields.into_problems();
        problems.extend(about_nothing(&request.content, &problems));
        if problems.is_empty() { Ok(request) } else { Err(problems) }
    }
}

/// The `202` answer: the announcement is stored, and on its way to whoever is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnounceAnswer {
    /// Its id, for `/v1/announcements/{requestId}`.
    pub request_id: String,
    /// Its place among the announcements of the app and tenant. Numbers grow; they are not dense.
    pub number: u64,
    /// Effective time to live, in seconds.
    pub ttl: u64,
}

/// What a backend asks for in the query of `GET /v1/announcements`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncementsRequest {
    /// The tenant within the app.
    pub tenant_code: Option<String>,
    /// Announcements at most.
    pub limit: u64,
    /// Only those before this number: where the page before ended.
    pub before: Option<u64>,
}

impl AnnouncementsRequest {
    /// Reads the pairs of a query and names every one that is wrong, given twice, or not known.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each.
    pub fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::of_query(pairs, &["limit", "before"]);
        let request = Self {
            tenant_code: fields.text("tenantCode", limits::IDENTIFIER_CHARS),
            limit: fields.integer("limit", &limits::ANNOUNCEMENT_LIST).unwrap_or(limits::ANNOUNCEMENT_LIST_DEFAULT),
            before: fields.integer("before", &(1..=u64::MAX)),
        };
        let problems = fields.into_problems();
        if problems.is_empty() { Ok(request) } else { Err(problems) }
    }
}

/// A page of the announcements that are kept, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnnouncementsAnswer {
    /// The announcements.
    pub announcements: Vec<AnnouncementAnswer>,
    /// The `before` of the next page; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u64>,
}

/// One announcement, as its sender sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementAnswer {
    /// Its id.
    pub request_id: String,
    /// Its place among the announcements of the app and tenant.
    pub number: u64,
    /// Only devices of this platform.
    pub platform: Platform,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// Until when it is kept for who is not connected.
    pub expires_at: Timestamp,
    /// When it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub withdrawn_at: Option<Timestamp>,
    /// Posts to connections that the gateway has accepted while it was pushed. That somebody has seen it, no count tells.
    pub posts: u64,
    /// What was announced.
    #[serde(flatten)]
    pub content: Content,
}

/// The answer to `DELETE /v1/announcements/{requestId}`: nobody is told any more who was not told before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithdrawAnswer {
    /// The announcement.
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
            "appId": "demo", "tenantCode": "t", "platform": "WEB", "pushMsgType": "MSG", "msgType": "text", "alert": "Hello",
            "extra": {"a": 1}, "event": "e", "sound": "ping", "badge": 3, "sender": "Shop", "sendDevice": "till",
            "source": {"platform": "pc"}, "category": "news", "tag": "vip", "ttl": 60,
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
            AnnouncementsRequest::parse(pairs).map_err(|wrong| wrong.into_iter().map(|it| it.field).collect::<Vec<_>>())
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
