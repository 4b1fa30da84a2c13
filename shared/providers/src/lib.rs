//! Clients of the push providers, over one HTTP client.
//!
//! | module | holds |
//! | --- | --- |
//! | [`push`] | a push, and what each provider was asked for: [`push::Effective`] |
//! | [`answer`] | the answer of a server, or why there is none |
//! | [`outcome`] | how a call ended, the same for all: [`Outcome`] |
//! | [`meaning`] | the table of all providers' codes and their outcomes |
//! | [`providers`] | all providers of one app, by the one JSON document with its credentials |
//! | [`credentials`] | reading a provider's part of that document |
//! | [`apns`] | Apple Push Notification service: HTTP/2, ES256 provider tokens |
//! | [`fcm`] | Firebase Cloud Messaging: HTTP v1, OAuth by a service account |
//! | [`webpush`] | Web Push: RFC 8030, 8188, 8291, 8292 |
//! | [`mipush`] | Mi Push of Xiaomi |
//! | [`webhook`] | Standard Webhooks |
//! | [`http`] | the HTTP client: time limits, size limits, HTTP/1.1 and HTTP/2 |
//! | [`endpoint`] | the URLs that may be called |
//! | [`breaker`] | circuit breakers: when a failing provider is skipped |
//!
//! Each provider translates a push by a pure function (`request`), reads an answer by another (`outcome`), and has a
//! client around the two that keeps its token. No client repeats a request that may have been acted on. The one
//! exception is a token that has expired: the provider reports that before it acts.
//!
//! ```no_run
//! # async fn example(push: tidings_providers::Push) -> Result<(), Box<dyn std::error::Error>> {
//! use tidings_providers::{Bases, Client, Credentials, Limits, Outcome, Providers, Reach, Target, apns::DeviceToken};
//!
//! let credentials = r#"{"mipush": {"appSecret": "…", "packageName": "com.example.app"}}"#;
//! let credentials = Credentials::parse(credentials, Reach::Public)?;
//! let providers = Providers::new(credentials, Client::new(Limits::default(), Reach::Public), Bases::default());
//! let device = Target::Apns(DeviceToken::parse("00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0")?);
//! let sent = providers.send(&push, &device, 1_700_000_000).await?;
//! if let Outcome::Accepted { id } = sent.outcome {
//!     println!("{id:?} until {:?}", sent.effective.ttl);
//! }
//! # Ok(())
//! # }
//! ```

pub mod answer;
pub mod apns;
pub mod breaker;
pub mod credentials;
pub mod endpoint;
pub mod fcm;
pub mod http;
pub mod meaning;
pub mod mipush;
pub mod outcome;
pub mod providers;
pub mod push;
pub mod webhook;
pub mod webpush;

pub use endpoint::Reach;
pub use http::{Client, Limits};
pub use outcome::{Outcome, Sent};
pub use providers::{Bases, Credentials, Provider, Providers, Target};
pub use push::Push;
