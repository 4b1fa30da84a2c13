//! The AWS services that functions call, behind one endpoint.
//!
//! A service is a folder here that implements `AwsService`: which requests it claims, by path, by
//! `X-Amz-Target` or by the `Action` of a form; how it serves them; how it refuses; what it shows on the control API. This file
//! has the one table of them. Signatures are not checked, but the access key in them tells which function's process has sent a
//! request, and so which traces bear its cost.

mod call;
pub mod connections;
#[cfg(test)]
mod denied_tests;
pub mod dynamodb;
mod endpoint;
mod injected;
#[cfg(test)]
mod injected_tests;
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
use self::secretsmanager::SecretsManager;
use self::ses::Ses;
use self::sns::Sns;
use self::sqs::Sqs;
use self::sts::Sts;
use crate::faults::Called;
use crate::service::Service;

/// Every service, in the order of its places.
pub const ALL: [Service; 7] = [
    dynamodb::SERVICE,
    sqs::SERVICE,
    connections::SERVICE,
    ses::SERVICE,
    sns::SERVICE,
    secretsmanager::SERVICE,
    sts::SERVICE,
];

/// The services of a twin. A clone has the same ones.
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
    /// STS.
    sts: Sts,
}

impl Services {
    /// Opens what the services keep, and makes what the template declares.
    pub(crate) async fn open(opening: &Opening<'_>) -> Result<Self, OpenError> {
        Ok(Self {
            dynamodb: DynamoDb::open_for(opening).await?,
            sqs: Sqs::open_for(opening)?,
            connections: Connections::new(opening.sockets.cloned()),
            ses: Ses::new(opening.outbox.clone()),
            sns: Sns::new(opening.outbox.clone()),
            secretsmanager: SecretsManager::open_for(opening)?,
            sts: Sts,
        })
    }

    fn all(&self) -> [&dyn AwsService; ALL.len()] {
        [&self.dynamodb, &self.sqs, &self.connections, &self.ses, &self.sns, &self.secretsmanager, &self.sts]
    }

    /// The service that a request is for, and the operation that it asks for.
    fn claimed(&self, request: &Request) -> Option<(&dyn AwsService, String)> {
        self.all().into_iter().find_map(|service| Some((service, service.claims(request)?)))
    }

    /// The routes of the control API about what the services hold.
    pub(crate) fn control(&self) -> Router {
        self.all().iter().fold(Router::new(), |router, service| router.merge(service.control()))
    }

    /// Ends what runs and keeps what was accepted.
    pub(crate) async fn stop(&self) {
        for service in self.all() {
            service.stop().await;
        }
    }
}

/// What rules of faults can name of the services.
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
