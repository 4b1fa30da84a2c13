//! SNS: `Publish`, whose messages go to the outbox.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::call::{AwsService, Call, Refused, Request};
use crate::iam::{Arns, Denial, Need};
use crate::ids::uuid;
use crate::ledger::TraceId;
use crate::outbox::{Channel, Draft, Outbox};
use crate::service::{Definition, Service, Words};

/// The operations of the real service.
const OPERATIONS: &[&str] = &["CreateTopic", "Publish", "PublishBatch", "Subscribe", "Unsubscribe"];

/// SNS.
pub const SERVICE: Service = Service::new(&Definition {
    name: "sns",
    title: "SNS",
    place: 4,
    operations: OPERATIONS,
    words: |operation| match operation {
        "Publish" => Words::alone(0, "SMS"),
        _ => Words::alone(1, "SNS others"),
    },
    faults: |_| &[],
});

/// The version of SNS's query protocol.
const VERSION: &str = "2010-03-31";

/// The longest text message, in characters.
const SMS_CHARS: usize = 1_600;

/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 262_144;

/// The longest subject, in characters.
const SUBJECT_CHARS: usize = 100;

/// The channel of messages to a telephone number.
pub const SMS: Channel = Channel::new("sms");

/// The channel of messages to a topic or an endpoint.
pub const TOPIC: Channel = Channel::new("topic");

/// SNS. A clone puts messages into the same outbox.
#[derive(Debug, Clone)]
pub struct Sns {
    outbox: Outbox,
}

/// A request that SNS refuses, and its reason.
#[derive(Debug)]
struct Refusal(String);

impl Sns {
    /// SNS whose messages go to `outbox`.
    #[must_use]
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox }
    }

    async fn publish(&self, form: &Bytes, traces: &[TraceId]) -> Response {
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(form);
            fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
        };
        let draft = match publication(field) {
            Ok(draft) => draft,
            Err(Refusal(message)) => return error(StatusCode::BAD_REQUEST, "InvalidParameter", &message),
        };
        let id = match self.outbox.put(draft, traces).await {
            Ok(id) => id,
            Err(reason) => return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &reason.to_string()),
        };
        let request_id = uuid();
        xml(
            StatusCode::OK,
            format!(
                "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}\
                 </MessageId></PublishResult><ResponseMetadata><RequestId>{request_id}</RequestId>\
                 </ResponseMetadata></PublishResponse>"
            ),
        )
    }
}

impl AwsService for Sns {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        request.action_of(VERSION)
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        async move {
            match call.operation.as_str() {
                "Publish" => self.publish(&call.request.body, &call.traces).await,
                action => {
                    let message = format!("the local twin does not serve {action}");
                    error(StatusCode::BAD_REQUEST, "InvalidAction", &message)
                }
            }
        }
        .boxed()
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>. The resource of a
    /// message to a telephone number is that number, which only a pattern such as `*` matches.
    fn needs(&self, call: &Call, _: &Arns) -> Vec<Need> {
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(&call.request.body);
            fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
        };
        let resource = field("TopicArn").or_else(|| field("TargetArn")).or_else(|| field("PhoneNumber"));
        let action = match call.operation.as_str() {
            "PublishBatch" => "Publish",
            other => other,
        };
        vec![Need::of(format!("sns:{action}"), resource.unwrap_or_else(|| "*".to_owned()))]
    }

    /// The real service writes the prefix of the action in capitals.
    fn denied(&self, denial: &Denial) -> Response {
        let action = denial.action.replacen("sns", "SNS", 1);
        error(StatusCode::FORBIDDEN, "AuthorizationError", &denial.to_string().replace(&denial.action, &action))
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        match refused {
            Refused::Throttled { .. } => error(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded"),
            Refused::Failed => {
                error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service is temporarily unavailable")
            }
        }
    }
}

/// An error of the query protocol.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let request_id = uuid();
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"))], body).into_response()
}

fn publication(field: impl Fn(&str) -> Option<String>) -> Result<Draft, Refusal> {
    let message = field("Message").filter(|message| !message.is_empty());
    let text = message.ok_or_else(|| Refusal("Invalid parameter: Empty message".to_owned()))?;
    if text.len() > MESSAGE_BYTES {
        return Err(Refusal("Invalid parameter: Message too long".to_owned()));
    }
    let subject = field("Subject");
    let is_subject =
        |text: &str| (1..=SUBJECT_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if subject.as_deref().is_some_and(|subject| !is_subject(subject)) {
        return Err(Refusal(format!(
            "Invalid parameter: Subject Reason: it has 1 to {SUBJECT_CHARS} characters on a line"
        )));
    }
    if field("PhoneNumber").is_some() && text.chars().count() > SMS_CHARS {
        return Err(Refusal(format!("Invalid parameter: Message Reason: an SMS has at most {SMS_CHARS} characters")));
    }
    let (channel, to) = match (field("PhoneNumber"), field("TopicArn").or_else(|| field("TargetArn"))) {
        (Some(number), None) if is_number(&number) => (SMS, number),
        (Some(number), None) => {
            return Err(Refusal(format!("Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to")));
        }
        (None, Some(arn)) => (TOPIC, arn),
        _ => {
            return Err(Refusal("Invalid parameter: give one of PhoneNumber, TopicArn and TargetArn".to_owned()));
        }
    };
    Ok(Draft { channel, from: None, to: vec![to], subject, text: Some(text), html: None, headers: BTreeMap::new() })
}

/// E.164: a plus and up to fifteen digits.
fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}
