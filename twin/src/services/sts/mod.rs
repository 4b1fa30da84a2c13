//! STS: `GetCallerIdentity`, with which programs check their credentials.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::call::{AwsService, Call, Refused, Request};
use crate::iam::{Arns, Denial, Need};
use crate::ids::{ACCOUNT_ID, uuid};
use crate::service::{Definition, Service, Words};

/// STS.
pub const SERVICE: Service = Service::new(&Definition {
    name: "sts",
    title: "STS",
    place: 7,
    operations: &["AssumeRole", "GetCallerIdentity", "GetSessionToken"],
    words: |_| Words::alone(0, "STS requests"),
    faults: |_| &[],
});

/// The version of STS's query protocol.
const VERSION: &str = "2011-06-15";

/// STS. Every caller is the same user of the account.
#[derive(Debug, Clone, Copy)]
pub struct Sts;

impl AwsService for Sts {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        request.action_of(VERSION)
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        let response = match call.operation.as_str() {
            "GetCallerIdentity" => identity(call.request.access_key_id().unwrap_or_default()),
            action => {
                error(StatusCode::BAD_REQUEST, "InvalidAction", &format!("the local twin does not serve {action}"))
            }
        };
        ready(response).boxed()
    }

    /// Every caller may ask who it is
    /// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>), and nothing else is served.
    fn needs(&self, _: &Call, _: &Arns) -> Vec<Need> {
        Vec::new()
    }

    fn denied(&self, denial: &Denial) -> Response {
        error(StatusCode::FORBIDDEN, "AccessDenied", &denial.to_string())
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

fn identity(access_key_id: &str) -> Response {
    // The key becomes part of XML.
    let key: String = access_key_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    xml(
        StatusCode::OK,
        &format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{ACCOUNT_ID}:user/twin</Arn><UserId>{key}</UserId><Account>{ACCOUNT_ID}</Account>\
             </GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>\
             </GetCallerIdentityResponse>",
            uuid()
        ),
    )
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    xml(
        status,
        &format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\"><Error><Type>Sender</Type><Code>{code}\
             </Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
            uuid()
        ),
    )
}

fn xml(status: StatusCode, body: &str) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"))], body.to_owned()).into_response()
}
