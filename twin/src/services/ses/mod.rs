//! SES v2: `SendEmail`, whose emails go to the outbox.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::call::{AwsService, Call, Refused, Request, member};
use crate::iam::{Arns, Context, Denial, Need};
use crate::ledger::TraceId;
use crate::outbox::{Channel, Draft, Outbox};
use crate::service::{Definition, Service, Words};

/// SES v2.
pub const SERVICE: Service = Service::new(&Definition {
    name: "ses",
    title: "SES",
    place: 3,
    operations: &["SendEmail"],
    words: |_| Words::alone(0, "emails"),
    faults: |_| &[],
});

/// The channel of emails.
pub const EMAIL: Channel = Channel::new("email");

/// The path at which SES v2 accepts emails.
const PATH: &str = "/v2/email/outbound-emails";

/// The most recipients of an email, all lists together.
const RECIPIENTS: usize = 50;

/// The most headers of an email.
const HEADERS: usize = 15;

/// The longest value of an email's header that SES v2 accepts.
const HEADER_CHARS: usize = 870;

/// SES. A clone puts emails into the same outbox.
#[derive(Debug, Clone)]
pub struct Ses {
    outbox: Outbox,
}

/// A request that SES refuses, and its reason.
#[derive(Debug)]
struct Refusal(String);

impl Ses {
    /// SES whose emails go to `outbox`.
    #[must_use]
    pub fn new(outbox: Outbox) -> Self {
        Self { outbox }
    }

    async fn send_email(&self, body: &[u8], traces: &[TraceId]) -> Response {
        let draft = match email(body) {
            Ok(draft) => draft,
            Err(Refusal(message)) => return error(StatusCode::BAD_REQUEST, "BadRequestException", &message),
        };
        match self.outbox.put(draft, traces).await {
            Ok(id) => axum::Json(json!({"MessageId": id})).into_response(),
            Err(reason) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", &reason.to_string()),
        }
    }
}

impl AwsService for Ses {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        (request.method == Method::POST && request.uri.path() == PATH).then(|| "SendEmail".to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        async move { self.send_email(&call.request.body, &call.traces).await }.boxed()
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html>. An
    /// email is sent under the identity of its address or of the address's domain; the twin does not know which of them
    /// is verified.
    fn needs(&self, call: &Call, arns: &Arns) -> Vec<Need> {
        let body = call.json();
        let from = member(&body, "FromEmailAddress").map(address).unwrap_or_default();
        let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
        let identity = |name: &str| arns.of("ses", &format!("identity/{name}"));
        let lists = ["ToAddresses", "CcAddresses", "BccAddresses"];
        let lists = lists.iter().flat_map(|list| body["Destination"][*list].as_array().into_iter().flatten());
        let recipients = lists.filter_map(Value::as_str).map(|to| address(to).to_owned()).collect();
        let context =
            Context::from([("ses:fromaddress".into(), vec![from.to_owned()]), ("ses:recipients".into(), recipients)]);
        let resources = vec![identity(from), identity(domain)];
        // A message that the caller has composed needs another right than one that SES composes.
        let action = if body["Content"]["Raw"].is_null() { "ses:SendEmail" } else { "ses:SendRawEmail" };
        let mut needs = vec![Need { resources, context: context.clone(), ..Need::of(action, "") }];
        let template = member(&body["Content"]["Template"], "TemplateName").map(|name| format!("template/{name}"));
        let set = member(&body, "ConfigurationSetName").map(|name| format!("configuration-set/{name}"));
        needs.extend(
            template
                .into_iter()
                .chain(set)
                .map(|resource| Need { context: context.clone(), ..Need::of(action, arns.of("ses", &resource)) }),
        );
        needs
    }

    fn denied(&self, denial: &Denial) -> Response {
        let Denial { principal, action, resource, .. } = denial;
        let message = format!("User `{principal}' is not authorized to perform `{action}' on resource `{resource}'");
        error(StatusCode::FORBIDDEN, "AccessDeniedException", &message)
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        match refused {
            Refused::Throttled { .. } => {
                error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Maximum sending rate exceeded.")
            }
            Refused::Failed => {
                error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "Service is temporarily unavailable")
            }
        }
    }
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    (status, [("x-amzn-errortype", kind.to_owned())], axum::Json(json!({"message": message}))).into_response()
}

fn email(body: &[u8]) -> Result<Draft, Refusal> {
    let request: Value = serde_json::from_slice(body).map_err(|error| Refusal(error.to_string()))?;
    let destination = &request["Destination"];
    let lists = ["ToAddresses", "CcAddresses", "BccAddresses"].map(|list| destination[list].as_array());
    let to = lists.into_iter().flatten().flatten().filter_map(Value::as_str).map(str::to_owned);
    let to: Vec<String> = to.collect();
    let from = request["FromEmailAddress"].as_str().map(str::to_owned);
    let content = &request["Content"];
    let text = |value: &Value| value["Data"].as_str().map(str::to_owned);
    let (simple, raw, template) = (&content["Simple"], &content["Raw"], &content["Template"]);
    if simple.is_null() && raw.is_null() && template.is_null() {
        return Err(Refusal("Content must be one of Simple, Raw and Template.".to_owned()));
    }
    if !simple.is_null() && text(&simple["Subject"]).is_none() {
        return Err(Refusal("Content.Simple.Subject is missing.".to_owned()));
    }
    if !simple.is_null() && ["Text", "Html"].iter().all(|part| text(&simple["Body"][*part]).is_none()) {
        return Err(Refusal("Content.Simple.Body has neither Text nor Html.".to_owned()));
    }
    if to.len() > RECIPIENTS {
        return Err(Refusal(format!("Recipient count exceeds {RECIPIENTS}.")));
    }
    if raw.is_null() && to.is_empty() {
        return Err(Refusal("Destination has no address.".to_owned()));
    }
    if raw.is_null() && from.is_none() {
        return Err(Refusal("FromEmailAddress is missing.".to_owned()));
    }
    if let Some(wrong) = to.iter().chain(&from).find(|address| !is_address(address)) {
        // The message may contain the address, because only the sender reads it.
        return Err(Refusal(format!("Invalid email address: {wrong}")));
    }
    let headers = simple["Headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if headers.len() > HEADERS {
        return Err(Refusal(format!("Content.Simple.Headers has more than {HEADERS} headers.")));
    }
    let named = |it: &Value| Some((it["Name"].as_str()?.to_owned(), it["Value"].as_str()?.to_owned()));
    let headers: BTreeMap<String, String> = headers.iter().filter_map(named).collect();
    if headers.values().any(|value| value.len() > HEADER_CHARS) {
        return Err(Refusal(format!("Value of a header has more than {HEADER_CHARS} characters.")));
    }
    Ok(Draft {
        channel: EMAIL,
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

/// The plain address in `Name <user@host>`.
fn address(text: &str) -> &str {
    text.rsplit_once('<').map_or(text, |(_, address)| address.trim_end_matches('>'))
}

fn is_address(text: &str) -> bool {
    let parts = address(text).split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains(['@', ' ']))
}
