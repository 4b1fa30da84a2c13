//! The AWS services that functions call, behind one endpoint.
//!
//! A service is a folder here that implements `AwsService`: the requests that it claims, by path, by `X-Amz-Target` or
//! by the `Action` of a form; their execution and their refusal; its routes of the control API. This file has the only
//! table of services. Signatures are not checked, but the access key in them identifies the function's process that has
//! sent a request, and so the traces that bear its cost.

mod call;
pub mod connections;
#[cfg(test)]
mod denied_tests;
pub mod dynamodb;
mod endpoint;
mod injected;
#[cfg(test)]
mod injected_tests;
pub mod kms;
pub mod secretsmanager;
pub mod ses;
pub mod sns;
pub mod sqs;
pub mod sts;
#[cfg(test)]
mod tests;

use axum::Router;

pub use self::call::OpenError;
pub(crate) use self::call::Opening;
use self::call::{AwsService, Request};
use self::connections::Connections;
use self::dynamodb::DynamoDb;
pub(crate) use self::endpoint::Endpoint;
use self::kms::Kms;
use self::secretsmanager::SecretsManager;
use self::ses::Ses;
use self::sns::Sns;
use self::sqs::Sqs;
use self::sts::Sts;
use crate::faults::Called;
use crate::service::Service;

/// Every service, in the order of its places.
pub const ALL: [Service; 8] = [
    dynamodb::SERVICE,
    sqs::SERVICE,
    connections::SERVICE,
    ses::SERVICE,
    sns::SERVICE,
    secretsmanager::SERVICE,
    kms::SERVICE,
    sts::SERVICE,
];

/// The services of a twin. A clone shares them.
#[derive(Debug, Clone)]
pub struct Services {
    /// DynamoDB.
    pub dynamodb: DynamoDb,
    /// SQS.
    pub sqs: Sqs,
    /// `@connections` of the WebSocket API.
    connections: Connections,
    /// SES v2.
    ses: Ses,
    /// SNS.
    sns: Sns,
    /// Secrets Manager.
    pub secretsmanager: SecretsManager,
    /// KMS.
    pub kms: Kms,
    /// STS.
    sts: Sts,
}

impl Services {
    /// Opens the services with their kept data, and creates the resources that the template declares.
    pub(crate) async fn open(opening: &Opening<'_>) -> Result<Self, OpenError> {
        Ok(Self {
            dynamodb: DynamoDb::open_for(opening).await?,
            sqs: Sqs::open_for(opening)?,
            connections: Connections::new(opening.sockets.cloned()),
            ses: Ses::new(opening.outbox.clone()),
            sns: Sns::new(opening.outbox.clone()),
            secretsmanager: SecretsManager::open_for(opening)?,
            kms: Kms::open_for(opening)?,
            sts: Sts,
        })
    }

    fn all(&self) -> [&dyn AwsService; ALL.len()] {
        [&self.dynamodb, &self.sqs, &self.connections, &self.ses, &self.sns, &self.secretsmanager, &self.kms, &self.sts]
    }

    /// The service and the operation of a request.
    fn claimed(&self, request: &Request) -> Option<(&dyn AwsService, String)> {
        self.all().into_iter().find_map(|service| Some((service, service.claims(request)?)))
    }

    /// The control API's routes to the state of the services.
    pub(crate) fn control(&self) -> Router {
        self.all().iter().fold(Router::new(), |router, service| router.merge(service.control()))
    }

    /// Stops the services and saves accepted data.
    pub(crate) async fn stop(&self) {
        for service in self.all() {
            service.stop().await;
        }
    }
}

/// The names of the services that a fault rule may contain.
pub(crate) fn called() -> Vec<Called> {
    let called = |service: Service| Called {
        service: service.name(),
        operations: service.operations().iter().map(|name| (*name, service.faults(name))).collect(),
    };
    ALL.map(called).to_vec()
}

/// The names of all services, for people: `DynamoDB, SQS and @connections`.
#[must_use]
pub fn titles() -> String {
    let [first @ .., last] = ALL.map(Service::title);
    format!("{} and {last}", first.join(", "))
}
