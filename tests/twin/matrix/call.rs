//! One call of a function to AWS, and how it is recognised by readers and on the wire.

use sam_twin::{
    faults::Fault,
    service::Service,
    services::{connections, dynamodb, secretsmanager, ses, sns, sqs},
};

/// One call.
pub(super) struct Call {
    /// The path from the source's function that starts it, through the methods on its way, to the SDK's operation:
    /// `function: caller > receiver.method > … > Operation`.
    pub(super) way: &'static str,
    /// Texts of the request that no other request of the function's scenario has. `{app}`, `{alice}`, `{bob}` (user
    /// keys), `{device}`, `{message}`, `{announcement}` and `{connection}` stand for the cell's own.
    pub(super) contains: &'static [&'static str],
    /// Number of equal requests of the scenario before this one.
    pub(super) skip: u32,
    /// The fault after which the function makes this call.
    pub(super) before: Option<Before>,
}

/// A fault that leads to a request.
pub(super) struct Before {
    pub(super) fault: Fault,
    pub(super) times: u32,
    pub(super) operation: &'static str,
    pub(super) contains: &'static [&'static str],
}

impl Call {
    /// The SDK's operation.
    pub(super) fn operation(&self) -> &'static str {
        self.way.rsplit(" > ").next().unwrap()
    }

    /// The function's logical id.
    pub(super) fn function(&self) -> String {
        let name = self.name();
        format!("{}{}Function", name[..1].to_uppercase(), &name[1..])
    }

    /// The function's name.
    pub(super) fn name(&self) -> &'static str {
        self.way.split(": ").next().unwrap()
    }

    pub(super) fn service(&self) -> Service {
        match self.operation() {
            "SendMessage" | "SendMessageBatch" | "ChangeMessageVisibilityBatch" => sqs::SERVICE,
            "PostToConnection" | "DeleteConnection" => connections::SERVICE,
            "Publish" => sns::SERVICE,
            "SendEmail" => ses::SERVICE,
            "GetSecretValue" => secretsmanager::SERVICE,
            _ => dynamodb::SERVICE,
        }
    }

    /// How often the request is tried before the function itself sees a failure. The providers' clients try once,
    /// those of `@connections` twice, that of claims six times, all others three times; a batch that is sent in part
    /// is sent once more by the function.
    pub(super) fn attempts(&self, fault: Fault) -> u32 {
        match (self.service().name(), fault) {
            (_, Fault::KillBefore | Fault::KillAfter) => 1,
            (_, Fault::GoneThoughDelivered | Fault::AcceptedThoughDead) => 1,
            (_, Fault::Partial) => 2,
            ("sns" | "ses", _) => 1,
            ("connections", _) => 2,
            _ if self.way.contains(" > claims.") => 6,
            _ => 3,
        }
    }
}
