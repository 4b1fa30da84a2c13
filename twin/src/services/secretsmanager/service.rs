//! Secrets Manager as a service of the endpoint.

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::SecretsManager;
use super::protocol::error;
use super::secret::{arn, named};
use crate::iam::{Arns, Denial, Need};
use crate::service::{Definition, Service, Words};
use crate::services::call::{AwsService, Call, Refused, Request, member};

/// The operations of the real service.
const OPERATIONS: &[&str] = &[
    "BatchGetSecretValue",
    "CancelRotateSecret",
    "CreateSecret",
    "DeleteResourcePolicy",
    "DeleteSecret",
    "DescribeSecret",
    "GetRandomPassword",
    "GetResourcePolicy",
    "GetSecretValue",
    "ListSecretVersionIds",
    "ListSecrets",
    "PutResourcePolicy",
    "PutSecretValue",
    "RestoreSecret",
    "RotateSecret",
    "TagResource",
    "UntagResource",
    "UpdateSecret",
    "UpdateSecretVersionStage",
    "ValidateResourcePolicy",
];

/// Secrets Manager.
pub const SERVICE: Service = Service::new(&Definition {
    name: "secretsmanager",
    title: "Secrets Manager",
    place: 5,
    operations: OPERATIONS,
    words: |_| Words::alone(0, "secrets"),
    faults: |_| &[],
});

impl AwsService for SecretsManager {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        let (_, operation) = request.target().filter(|(service, _)| *service == "secretsmanager")?;
        Some(operation.to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        ready(self.answer(&call.operation, &call.request.body)).boxed()
    }

    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html>
    fn needs(&self, call: &Call, _: &Arns) -> Vec<Need> {
        let body = call.json();
        // Each operation looks at one member. Any other is not part of it, and names nothing.
        let secret = match call.operation.as_str() {
            "CreateSecret" => member(&body, "Name"),
            "ListSecrets" => None,
            _ => member(&body, "SecretId"),
        };
        let resource = secret.map_or_else(|| "*".to_owned(), |id| arn(named(id)));
        vec![Need::of(format!("secretsmanager:{}", call.operation), resource)]
    }

    fn denied(&self, denial: &Denial) -> Response {
        error(StatusCode::BAD_REQUEST, "AccessDeniedException", &denial.to_string())
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        match refused {
            Refused::Throttled { .. } => error(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded"),
            Refused::Failed => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServiceError",
                "An error occurred on the server side.",
            ),
        }
    }
}
