//! The providers: Amazon SNS for text messages, Amazon SES v2 for e-mail.

use crate::email;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader};
use aws_sdk_sns::types::MessageAttributeValue;
use tidings_crypto::{keys::RootKeys, link};
use tidings_domain::{chain::Outcome, preferences::Unsubscribe};
use tidings_lambda::{
    Sdk,
    config::{self, ConfigError},
    sdk::timeouts,
};
use tidings_wire::trail::RefusalCode;

/// Longest value of a header that SES v2 takes, in characters
/// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageHeader.html>).
const HEADER_CHARS: usize = 870;

/// One client for each provider.
#[derive(Clone, Debug)]
pub(crate) struct Providers {
    sns: aws_sdk_sns::Client,
    ses: aws_sdk_sesv2::Client,
    from: String,
    roots: RootKeys,
    api_url: String,
}

impl Providers {
    pub(crate) fn from_env(sdk: &Sdk) -> Result<Self, ConfigError> {
        let once = aws_sdk_sns::config::retry::RetryConfig::disabled();
        // One attempt, and patience with it: an answer that is not awaited leaves the step unknown.
        let patient = timeouts(9_000, 9_000);
        let sns = aws_sdk_sns::config::Builder::from(sdk.config());
        let sns = sns.retry_config(once.clone()).timeout_config(patient.clone()).build();
        let ses = aws_sdk_sesv2::config::Builder::from(sdk.config());
        let ses = ses.retry_config(once).timeout_config(patient).build();
        Ok(Self {
            sns: aws_sdk_sns::Client::from_conf(sns),
            ses: aws_sdk_sesv2::Client::from_conf(ses),
            from: config::text(config::EMAIL_FROM)?,
            roots: config::root_keys()?,
            api_url: config::text(config::API_URL)?,
        })
    }

    /// Sends a text message, once.
    pub(crate) async fn sms(&self, to: &str, text: &str) -> Outcome {
        let kind = MessageAttributeValue::builder().data_type("String").string_value("Transactional").build();
        let Ok(kind) = kind else { return Outcome::Refused(RefusalCode::Request.to_string()) };
        let sent = self
            .sns
            .publish()
            .phone_number(to)
            .message(text)
            .message_attributes("AWS.SNS.SMS.SMSType", kind)
            .send()
            .await;
        match sent {
            Ok(answer) => Outcome::Accepted(answer.message_id.unwrap_or_default()),
            Err(error) => refusal(aws_sdk_sns::error::ProvideErrorMetadata::code(&error)),
        }
    }

    /// Sends an e-mail, once.
    pub(crate) async fn email(&self, to: &str, subject: &str, text: &str, unsubscribe: &Unsubscribe) -> Outcome {
        let link = self.unsubscribe_link(unsubscribe);
        let utf8 = |data: &str| Content::builder().data(data).charset("UTF-8").build();
        let page = email::page(subject, text, link.as_deref());
        let (Ok(subject), Ok(text), Ok(html)) = (utf8(subject), utf8(text), utf8(&page)) else {
            return Outcome::Refused(RefusalCode::Request.to_string());
        };
        let body = Body::builder().text(text).html(html).build();
        let headers = link.as_deref().and_then(unsubscribe_headers);
        let message = Message::builder().subject(subject).body(body).set_headers(headers).build();
        let sent = self
            .ses
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(to).build())
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await;
        match sent {
            Ok(answer) => Outcome::Accepted(answer.message_id.unwrap_or_default()),
            Err(error) => refusal(aws_sdk_sesv2::error::ProvideErrorMetadata::code(&error)),
        }
    }

    /// Where the reader says that emails like this are to stop. An email whose link would be longer than SES takes as a header
    /// goes out without one.
    fn unsubscribe_link(&self, unsubscribe: &Unsubscribe) -> Option<String> {
        let says = serde_json::to_vec(unsubscribe).ok()?;
        let link = format!("{}/v1/unsubscribe/{}", self.api_url, link::sign(&self.roots, &says));
        (link.len() + "<>".len() <= HEADER_CHARS).then_some(link)
    }
}

/// What lets a mail program offer to stop emails like this, by one POST (RFC 8058 §3.1).
fn unsubscribe_headers(link: &str) -> Option<Vec<MessageHeader>> {
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build().ok();
    let link = format!("<{link}>");
    let headers = [("List-Unsubscribe", link.as_str()), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")];
    headers.map(|(name, value)| header(name, value)).into_iter().collect()
}

/// A code is the provider's refusal. No code is no answer: nobody knows whether it was sent.
fn refusal(code: Option<&str>) -> Outcome {
    code.map_or(Outcome::Unknown, |code| Outcome::Refused(code.to_owned()))
}
