//! Text messages, by Amazon SNS.

use aws_sdk_sns::{Client, config::Builder, types::MessageAttributeValue};
use aws_types::SdkConfig;
use tidings_domain::fallback::Answer;

use crate::aws;

#[derive(Clone, Debug)]
pub(crate) struct Sms {
    client: Client,
}

impl Sms {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let config = Builder::from(config).retry_config(aws::once()).timeout_config(aws::patient(config));
        Self { client: Client::from_conf(config.build()) }
    }

    /// Sends a text message, once.
    pub(crate) async fn send(&self, to: &str, text: &str) -> Answer {
        let kind = MessageAttributeValue::builder().data_type("String").string_value("Transactional").build();
        let Ok(kind) = kind else { return aws::no_request() };
        let sent = self
            .client
            .publish()
            .phone_number(to)
            .message(text)
            .message_attributes("AWS.SNS.SMS.SMSType", kind)
            .send()
            .await;
        match sent {
            Ok(answer) => Answer::Accepted(answer.message_id),
            Err(error) => aws::answer(&error),
        }
    }
}
