//! The outboxes in which the demo finds the SMS and emails that the functions have sent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use sam_twin::cli::failure::Failure;
use sam_twin::client::{Client, Method};

/// How long an outbox may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The owner of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutboxKind {
    /// The local twin's: SMS and email.
    Tidings,
    /// ministack's: SMS and email.
    Ministack,
    /// None: the demo checks the providers' ids in the trail instead.
    Trail,
}

/// An outbox.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    kind: OutboxKind,
    endpoint: String,
    client: Client,
}

/// One thing that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl Sent {
    pub(crate) fn is_to(&self, to: &str) -> bool {
        self.to.iter().any(|one| one == to)
    }
}

/// An item of the twin's outbox.
#[derive(Debug, Deserialize)]
struct TwinItem {
    channel: String,
    to: Vec<String>,
    subject: Option<String>,
    text: Option<String>,
}

/// ministack's emails, by account.
#[derive(Debug, Deserialize)]
struct MinistackMessages {
    messages: BTreeMap<String, Vec<MinistackEmail>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MinistackEmail {
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    subject: String,
    body_text: Option<String>,
}

/// ministack's SMS, by phone number.
#[derive(Debug, Deserialize)]
struct MinistackTexts {
    sms_messages: BTreeMap<String, Vec<MinistackText>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MinistackText {
    message: String,
}

impl Outbox {
    pub(crate) fn new(kind: OutboxKind, endpoint: Option<&str>) -> Result<Self, Failure> {
        let endpoint = match (kind, endpoint) {
            (_, Some(endpoint)) => endpoint.trim_end_matches('/').to_owned(),
            (OutboxKind::Trail, None) => String::new(),
            (OutboxKind::Tidings | OutboxKind::Ministack, None) => {
                return Err(Failure::new("--outbox needs the --aws-endpoint that has it"));
            }
        };
        Ok(Self { kind, endpoint, client: Client::new(TIMEOUT) })
    }

    /// Every SMS; `None` if the outbox cannot be read.
    pub(crate) async fn sms(&self) -> Result<Option<Vec<Sent>>, Failure> {
        match self.kind {
            OutboxKind::Tidings => self.twin("sms").await.map(Some),
            OutboxKind::Ministack => {
                let url = format!("{}/_ministack/sns/sms-messages", self.endpoint);
                let all: MinistackTexts = self.client.json(Method::GET, &url).await?;
                let of = |(to, texts): (String, Vec<MinistackText>)| {
                    texts.into_iter().map(move |text| Sent {
                        to: vec![to.clone()],
                        subject: String::new(),
                        text: text.message,
                    })
                };
                Ok(Some(all.sms_messages.into_iter().flat_map(of).collect()))
            }
            OutboxKind::Trail => Ok(None),
        }
    }

    /// Every email; `None` if the outbox cannot be read.
    pub(crate) async fn emails(&self) -> Result<Option<Vec<Sent>>, Failure> {
        match self.kind {
            OutboxKind::Tidings => self.twin("email").await.map(Some),
            OutboxKind::Ministack => {
                let url = format!("{}/_ministack/ses/messages", self.endpoint);
                let all: MinistackMessages = self.client.json(Method::GET, &url).await?;
                let emails = all.messages.into_values().flatten();
                let sent = emails.map(|email| Sent {
                    to: email.to,
                    subject: email.subject,
                    text: email.body_text.unwrap_or_default(),
                });
                Ok(Some(sent.collect()))
            }
            OutboxKind::Trail => Ok(None),
        }
    }

    async fn twin(&self, channel: &str) -> Result<Vec<Sent>, Failure> {
        let url = format!("{}/_twin/outbox", self.endpoint);
        let items: Vec<TwinItem> = self.client.json(Method::GET, &url).await?;
        let of_channel = items.into_iter().filter(|item| item.channel == channel);
        let sent = of_channel.map(|item| Sent {
            to: item.to,
            subject: item.subject.unwrap_or_default(),
            text: item.text.unwrap_or_default(),
        });
        Ok(sent.collect())
    }
}
