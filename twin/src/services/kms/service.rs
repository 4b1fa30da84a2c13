//! KMS as a service of the endpoint.

use axum::Router;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::protocol::{Code, error};
use super::{Kms, SERVED, control, needs};
use crate::iam::{Arns, Denial, Need};
use crate::service::{Definition, Service, Words};
use crate::services::call::{AwsService, Call, Refused, Request};

/// The operations of the real service.
const OPERATIONS: &[&str] = &[
    "CancelKeyDeletion",
    "ConnectCustomKeyStore",
    "CreateAlias",
    "CreateCustomKeyStore",
    "CreateGrant",
    "CreateKey",
    "Decrypt",
    "DeleteAlias",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "DisconnectCustomKeyStore",
    "EnableKey",
    "EnableKeyRotation",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListAliases",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "ListRetirableGrants",
    "PutKeyPolicy",
    "ReEncrypt",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "Sign",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateCustomKeyStore",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
];

/// KMS.
pub const SERVICE: Service =
    Service::new(&Definition { name: "kms", title: "KMS", place: 6, operations: OPERATIONS, words, faults: |_| &[] });

fn words(operation: &str) -> Words {
    let (order, one, many) = match operation {
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => (0, "data key", "data keys"),
        "Decrypt" => (1, "decrypt", "decrypts"),
        "Encrypt" | "ReEncrypt" => (2, "encrypt", "encrypts"),
        _ => (3, "other", "others"),
    };
    Words { order, group: "KMS", one, many }
}

impl AwsService for Kms {
    fn service(&self) -> Service {
        SERVICE
    }

    fn claims(&self, request: &Request) -> Option<String> {
        let (_, operation) = request.target().filter(|(service, _)| *service == "TrentService")?;
        Some(operation.to_owned())
    }

    fn serve(&self, call: Call) -> BoxFuture<'_, Response> {
        ready(self.answer(&call.operation, &call.request.body)).boxed()
    }

    fn needs(&self, call: &Call, _: &Arns) -> Vec<Need> {
        let is_served = SERVED.iter().any(|(name, _)| *name == call.operation);
        match serde_json::from_slice(&call.request.body) {
            Ok(request) if is_served => needs::of(&self.stored(), &call.operation, &request),
            _ => Vec::new(),
        }
    }

    fn denied(&self, denial: &Denial) -> Response {
        error(Code::AccessDenied, &denial.to_string())
    }

    fn refusal(&self, refused: Refused, _: &Call) -> Response {
        match refused {
            Refused::Throttled { .. } => error(
                Code::Throttling,
                "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
            ),
            Refused::Failed => error(Code::Internal, "An error occurred on the server side."),
        }
    }

    fn control(&self) -> Router {
        control::control(self.clone())
    }
}
