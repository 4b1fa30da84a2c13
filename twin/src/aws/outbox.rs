//! What functions sent to people: the emails and text messages that SES and SNS would have delivered, and the pushes that the
//! providers would have, kept to look at.
//!
//! With a journal the outbox survives a kill: a sender is answered, and an item shown, only once it is on the disk.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::journal::{self, Journal};
use crate::ids::uuid;
use crate::ledger::TraceId;

/// How many items are kept; the oldest go first.
const KEPT: usize = 10_000;

/// Longest value of an email's header that SES v2 takes.
const HEADER_CHARS: usize = 870;

/// By which way something was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// SES v2 `SendEmail`.
    Email,
    /// SNS `Publish` to a telephone number.
    Sms,
    /// SNS `Publish` to a topic or an endpoint.
    Topic,
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// A push service of a browser.
    Webpush,
    /// Mi Push.
    Mipush,
    /// The app's own server.
    Webhook,
}

/// One thing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its place in the outbox; the first is 1.
    pub number: u64,
    /// The id that the sender was told.
    pub message_id: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at: u64,
    /// By which way.
    pub channel: Channel,
    /// From whom, where the request says so.
    pub from: Option<String>,
    /// To whom: addresses, a telephone number, an ARN; of a push the token, the endpoint, the alias or the topic.
    pub to: Vec<String>,
    /// The subject; of a push its title, where that can be read.
    pub subject: Option<String>,
    /// The text; of a raw email, all of it in base64. Of a push the body of the request, which of a Web Push is in base64url.
    pub text: Option<String>,
    /// The HTML of an email.
    pub html: Option<String>,
    /// Further headers of an email, or those of a push that its protocol defines.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub headers: BTreeMap<String, String>,
    /// Whose messages these were.
    pub traces: Vec<TraceId>,
}

/// The outbox of a twin, oldest first. A clone shows the same one.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    items: Mutex<Items>,
    grew: Notify,
    journal: Option<Journal<Item>>,
}

#[derive(Debug, Default)]
struct Items {
    kept: VecDeque<Item>,
    /// The number of the last item.
    count: u64,
    /// The number of the last item that is on the disk, as all before it are.
    safe: u64,
}

/// Why something was not put into the outbox.
#[derive(Debug)]
pub enum Failure {
    /// SES or SNS would refuse the request.
    Refused(String),
    /// It could not be kept.
    Kept(String),
}

/// What is about to be put into the outbox: the fields of an [`Item`] that its sender knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of Item")]
pub struct Draft {
    pub channel: Channel,
    pub from: Option<String>,
    pub to: Vec<String>,
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub headers: BTreeMap<String, String>,
}

impl Outbox {
    /// An outbox with what the journal at `path` has of it; in memory where there is none.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let mut kept = VecDeque::from(journal::read::<Item>(path)?);
        kept.drain(..kept.len().saturating_sub(KEPT));
        // Numbers go on: whoever has seen one asks for those after it.
        let count = kept.back().map_or(0, |item| item.number);
        let journal = Journal::create(path, kept.iter().cloned())?;
        let items = Mutex::new(Items { kept, count, safe: count });
        Ok(Self(Arc::new(Shared { items, grew: Notify::new(), journal: Some(journal) })))
    }

    /// Everything that was sent after the item of this number; 0 for all.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Item> {
        let items = self.items();
        items.kept.iter().filter(|it| it.number > number && it.number <= items.safe).cloned().collect()
    }

    /// Whether something was sent in this way under this id.
    #[must_use]
    pub fn has(&self, channel: Channel, message_id: &str) -> bool {
        self.items().kept.iter().any(|item| item.channel == channel && item.message_id == message_id)
    }

    /// The item of this number, while it is kept.
    #[must_use]
    pub fn item(&self, number: u64) -> Option<Item> {
        let items = self.items();
        items.kept.iter().find(|it| it.number == number && it.number <= items.safe).cloned()
    }

    /// Waits until something was sent after the item of this number.
    pub async fn wait_after(&self, number: u64) -> Vec<Item> {
        loop {
            let grew = self.0.grew.notified();
            tokio::pin!(grew);
            // Registered before the look, so that nothing in between is missed.
            grew.as_mut().enable();
            let items = self.after(number);
            if !items.is_empty() {
                return items;
            }
            grew.await;
        }
    }

    async fn put(&self, draft: Draft, traces: &[TraceId]) -> Result<String, Failure> {
        let message_id = uuid();
        self.put_as(message_id.clone(), draft, traces).await?;
        Ok(message_id)
    }

    /// Puts something in under an id that its sender or its channel has chosen.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub async fn put_as(&self, message_id: String, draft: Draft, traces: &[TraceId]) -> Result<(), Failure> {
        let sent_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let Draft { channel, from, to, subject, text, html, headers } = draft;
        let number = self.add(|number| Item {
            number,
            message_id,
            sent_at: u64::try_from(sent_at).unwrap_or(u64::MAX),
            channel,
            from,
            to,
            subject,
            text,
            html,
            headers,
            traces: traces.to_vec(),
        });
        if let Some(journal) = &self.0.journal {
            journal.flush().await.map_err(|error| Failure::Kept(error.to_string()))?;
        }
        let mut items = self.items();
        items.safe = items.safe.max(number);
        drop(items);
        self.0.grew.notify_waiters();
        Ok(())
    }

    /// Adds an item, which is shown only once it is safe; says its number.
    fn add(&self, item: impl FnOnce(u64) -> Item) -> u64 {
        let mut items = self.items();
        items.count += 1;
        let item = item(items.count);
        // Under the lock: the journal has them in the order of their numbers.
        if let Some(journal) = &self.0.journal {
            journal.append(&item);
        }
        items.kept.push_back(item);
        if items.kept.len() > KEPT {
            items.kept.pop_front();
        }
        items.count
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SES v2: `POST /v2/email/outbound-emails`.
    pub(super) async fn send_email(&self, body: &[u8], traces: &[TraceId]) -> Response {
        let sent = match email(body) {
            Ok(draft) => self.put(draft, traces).await,
            Err(refused) => Err(refused),
        };
        let (status, error, message) = match sent {
            Ok(id) => return axum::Json(json!({"MessageId": id})).into_response(),
            Err(Failure::Refused(message)) => (StatusCode::BAD_REQUEST, "BadRequestException", message),
            Err(Failure::Kept(message)) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message),
        };
        (status, [("x-amzn-errortype", error)], axum::Json(json!({"message": message}))).into_response()
    }

    /// SNS: a form with `Action=Publish`.
    pub(super) async fn publish(&self, form: &Bytes, traces: &[TraceId]) -> Response {
        let request_id = uuid();
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(form);
            fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
        };
        let sent = match publication(field) {
            Ok(draft) => self.put(draft, traces).await,
            Err(refused) => Err(refused),
        };
        let (status, body) = match sent {
            Ok(id) => (
                StatusCode::OK,
                format!(
                    "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}\
                     </MessageId></PublishResult><ResponseMetadata><RequestId>{request_id}</RequestId>\
                     </ResponseMetadata></PublishResponse>"
                ),
            ),
            Err(Failure::Refused(message)) => {
                (StatusCode::BAD_REQUEST, form_error("InvalidParameter", &message, &request_id))
            }
            Err(Failure::Kept(message)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, form_error("InternalError", &message, &request_id))
            }
        };
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"))], body).into_response()
    }
}

/// An error of the older query protocol.
pub(super) fn form_error(code: &str, message: &str, request_id: &str) -> String {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}

fn email(body: &[u8]) -> Result<Draft, Failure> {
    let request: Value = serde_json::from_slice(body).map_err(|error| Failure::Refused(error.to_string()))?;
    let destination = &request["Destination"];
    let lists = ["ToAddresses", "CcAddresses", "BccAddresses"].map(|list| destination[list].as_array());
    let to = lists.into_iter().flatten().flatten().filter_map(Value::as_str).map(str::to_owned);
    let to: Vec<String> = to.collect();
    let from = request["FromEmailAddress"].as_str().map(str::to_owned);
    let content = &request["Content"];
    let text = |value: &Value| value["Data"].as_str().map(str::to_owned);
    let (simple, raw, template) = (&content["Simple"], &content["Raw"], &content["Template"]);
    if simple.is_null() && raw.is_null() && template.is_null() {
        return Err(Failure::Refused("Content must be one of Simple, Raw and Template.".to_owned()));
    }
    if raw.is_null() && to.is_empty() {
        return Err(Failure::Refused("Destination has no address.".to_owned()));
    }
    if raw.is_null() && from.is_none() {
        return Err(Failure::Refused("FromEmailAddress is missing.".to_owned()));
    }
    if let Some(wrong) = to.iter().chain(&from).find(|address| !is_address(address)) {
        // The address itself is nobody's business but the sender's, who is the one that reads this.
        return Err(Failure::Refused(format!("Invalid email address: {wrong}")));
    }
    let headers = simple["Headers"].as_array().into_iter().flatten();
    let named = |it: &Value| Some((it["Name"].as_str()?.to_owned(), it["Value"].as_str()?.to_owned()));
    let headers: BTreeMap<String, String> = headers.filter_map(named).collect();
    if headers.values().any(|value| value.len() > HEADER_CHARS) {
        return Err(Failure::Refused(format!("Value of a header has more than {HEADER_CHARS} characters.")));
    }
    Ok(Draft {
        channel: Channel::Email,
        from,
        to,
        subject: text(&simple["Subject"]),
        text: text(&simple["Body"]["Text"])
            .or_else(|| text(raw))
            .or_else(|| template["TemplateData"].as_str().map(str::to_owned)),
        html: text(&simple["Body"]["Html"]),
        headers,
    })
}

fn is_address(address: &str) -> bool {
    // `Name <user@host>` is an address too.
    let address = address.rsplit_once('<').map_or(address, |(_, address)| address.trim_end_matches('>'));
    let parts = address.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains(['@', ' ']))
}

fn publication(field: impl Fn(&str) -> Option<String>) -> Result<Draft, Failure> {
    let message = field("Message").filter(|message| !message.is_empty());
    let text = message.ok_or_else(|| Failure::Refused("Invalid parameter: Empty message".to_owned()))?;
    let (channel, to) = match (field("PhoneNumber"), field("TopicArn").or_else(|| field("TargetArn"))) {
        (Some(number), None) if is_number(&number) => (Channel::Sms, number),
        (Some(number), None) => {
            return Err(Failure::Refused(format!(
                "Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to"
            )));
        }
        (None, Some(arn)) => (Channel::Topic, arn),
        _ => {
            return Err(Failure::Refused(
                "Invalid parameter: give one of PhoneNumber, TopicArn and TargetArn".to_owned(),
            ));
        }
    };
    let (subject, text) = (field("Subject"), Some(text));
    Ok(Draft { channel, from: None, to: vec![to], subject, text, html: None, headers: BTreeMap::new() })
}

/// E.164: a plus and up to fifteen digits.
fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(number: u32) -> Bytes {
        format!("Action=Publish&PhoneNumber=%2B86138{number:08}&Message=hello").into()
    }

    #[tokio::test]
    async fn what_was_answered_survives_a_kill_and_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/outbox.journal");
        let trace = TraceId::new();
        let outbox = Outbox::open(Some(&path)).unwrap();
        for number in 0..3 {
            let response = outbox.publish(&form(number), std::slice::from_ref(&trace)).await;
            assert_eq!(response.status(), StatusCode::OK);
        }
        let before = outbox.after(0);
        assert_eq!(before.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(before[2].traces, [trace]);
        // A kill leaves the file as it is; half a line is one that nobody was answered for.
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, br#"{"number": 4, "mess"#).unwrap();
        // Twice: what the first start wrote anew is what the second reads.
        for _ in 0..2 {
            assert_eq!(Outbox::open(Some(&path)).unwrap().after(0), before);
        }
        let outbox = Outbox::open(Some(&path)).unwrap();
        outbox.publish(&form(9), &[]).await;
        assert_eq!(outbox.after(3)[0].number, 4);
        assert_eq!(outbox.wait_after(3).await[0].to, ["+8613800000009"]);
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_neither_answered_nor_shown() {
        // A device that is always full, in the place of a disk that is.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = Journal::on(full, Path::new("/dev/full")).unwrap();
        let outbox = Outbox(Arc::new(Shared { journal: Some(full), ..Shared::default() }));
        let refused = outbox.publish(&form(1), &[]).await;
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(outbox.after(0), []);
    }
}
