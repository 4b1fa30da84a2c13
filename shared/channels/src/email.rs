//! Emails, by Amazon SES v2.

mod page;

use std::sync::Arc;

use aws_sdk_sesv2::{
    Client,
    config::Builder,
    types::{Body, Content, Destination, EmailContent, Message, MessageHeader},
};
use aws_types::SdkConfig;
use tidings_crypto::link;
use tidings_domain::{fallback::Answer, preferences::Unsubscribe};
use tidings_service::Roots;

use crate::aws;

/// Longest value of a header that SES v2 takes, in characters
/// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageHeader.html>).
const HEADER_CHARS: usize = 870;

#[derive(Clone, Debug)]
pub(crate) struct Emails {
    client: Client,
    from: String,
    api_url: String,
    roots: Arc<Roots>,
}

impl Emails {
    pub(crate) fn new(config: &SdkConfig, from: String, api_url: String, roots: Arc<Roots>) -> Self {
        let config = Builder::from(config).retry_config(aws::once()).timeout_config(aws::patient(config));
        Self { client: Client::from_conf(config.build()), from, api_url, roots }
    }

    /// Sends an email, once.
    pub(crate) async fn send(&self, to: &str, subject: &str, text: &str, unsubscribe: &Unsubscribe) -> Answer {
        let link = self.unsubscribe_link(unsubscribe).await;
        let utf8 = |data: &str| Content::builder().data(data).charset("UTF-8").build();
        let page = page::page(subject, text, link.as_deref());
        let (Ok(subject), Ok(text), Ok(html)) = (utf8(subject), utf8(text), utf8(&page)) else {
            return aws::no_request();
        };
        let body = Body::builder().text(text).html(html).build();
        let headers = link.as_deref().and_then(unsubscribe_headers);
        let message = Message::builder().subject(subject).body(body).set_headers(headers).build();
        let sent = self
            .client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(to).build())
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await;
        match sent {
            Ok(answer) => Answer::Accepted(answer.message_id),
            Err(error) => aws::answer(&error),
        }
    }

    /// The link that unsubscribes the reader from emails like this one. An email whose link would be longer than SES
    /// takes as a header goes out without one.
    async fn unsubscribe_link(&self, unsubscribe: &Unsubscribe) -> Option<String> {
        let text = serde_json::to_vec(unsubscribe).ok()?;
        let link = link::sign(&*self.roots.keys().await, unsubscribe.user.app.as_str(), &text);
        let link = format!("{}/v1/unsubscribe/{link}", self.api_url);
        (link.len() + "<>".len() <= HEADER_CHARS).then_some(link)
    }
}

/// The headers with which a mail program offers to unsubscribe by one POST (RFC 8058 §3.1).
fn unsubscribe_headers(link: &str) -> Option<Vec<MessageHeader>> {
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build().ok();
    let link = format!("<{link}>");
    let headers = [("List-Unsubscribe", link.as_str()), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")];
    headers.map(|(name, value)| header(name, value)).into_iter().collect()
}
