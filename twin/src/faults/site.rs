//! Where a fault can strike.

use std::borrow::Cow;

use super::kind::Fault;
use crate::ledger::Service;

/// One call, as rules and plans see it.
#[derive(Debug, Clone, Default)]
pub struct Site<'a> {
    /// The function that calls, or that is to be invoked, by logical id.
    pub function: Option<&'a str>,
    /// The AWS service that is called.
    pub service: Option<Service>,
    /// What is called: an operation, a route, a queue.
    pub operation: &'a str,
    /// What the call says: path and body, as sent and decoded.
    pub text: Vec<Cow<'a, str>>,
}

impl Site<'_> {
    /// The name by which its calls are counted.
    pub(super) fn name(&self) -> String {
        let service = match self.service {
            Some(Service::DynamoDb) => "dynamodb",
            Some(Service::Sqs) => "sqs",
            Some(Service::Connections) => "connections",
            Some(Service::Ses) => "ses",
            Some(Service::Sns) => "sns",
            Some(Service::SecretsManager) => "secretsmanager",
            None => "-",
        };
        format!("{} {service} {}", self.function.unwrap_or("-"), self.operation)
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.text.iter().any(|part| part.contains(text))
    }
}

/// The faults that a request to an AWS service can meet.
#[must_use]
pub fn of_request(service: Service, operation: &str) -> Vec<Fault> {
    let mut possible = vec![
        Fault::KillBefore,
        Fault::KillAfter,
        Fault::FailBefore,
        Fault::LoseAnswer,
        Fault::Throttle,
        Fault::ServerError,
    ];
    match (service, operation) {
        (Service::DynamoDb, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems") => {
            possible.push(Fault::Conflict);
        }
        (Service::Sqs, "SendMessageBatch") => possible.push(Fault::Partial),
        (Service::Connections, "PostToConnection") => {
            possible.extend([Fault::GoneThoughDelivered, Fault::AcceptedThoughDead]);
        }
        _ => {}
    }
    possible
}
