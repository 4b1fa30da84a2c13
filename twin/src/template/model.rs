//! The model of a template, with every intrinsic resolved: plain data, without CloudFormation.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::iam::{KeyPolicy, Role};

/// A SAM template, resolved for the twin that serves it.
///
/// All references to functions are logical ids, those to queues are physical names.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// The Lambda functions by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The HTTP API, if the template has one.
    pub http_api: Option<HttpApi>,
    /// The WebSocket API, if the template has one.
    pub websocket_api: Option<WebSocketApi>,
    /// The queues, in the order of their logical ids.
    pub queues: Vec<Queue>,
    /// The queues that feed functions.
    pub event_sources: Vec<EventSource>,
    /// The schedules that invoke functions.
    pub schedules: Vec<Schedule>,
    /// The DynamoDB tables, in the order of their logical ids.
    pub tables: Vec<Table>,
    /// The secrets that Secrets Manager has from the start, in the order of their logical ids.
    pub secrets: Vec<Secret>,
    /// The keys that KMS has from the start, in the order of their logical ids.
    pub keys: Vec<Key>,
    /// The aliases of these keys, in the order of their logical ids.
    pub key_aliases: Vec<KeyAlias>,
    /// The roles of the functions, by name.
    pub roles: BTreeMap<String, Role>,
    /// The template's outputs, resolved to what the twin serves.
    pub outputs: BTreeMap<String, String>,
    /// Features of the template that the twin does not have, one sentence each.
    pub warnings: Vec<String>,
}

/// A Lambda function.
#[derive(Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name in the template, `SendFunction`.
    pub logical_id: String,
    /// Its name in AWS: `FunctionName`, or the stack's name and the logical id.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The name of its role.
    pub role: String,
    /// The name of the binary that cargo-lambda builds, from `Metadata.BuildProperties.Binary`.
    pub binary: Option<String>,
    /// `CodeUri`, as written.
    pub code_uri: Option<PathBuf>,
    /// `Handler`, as written.
    pub handler: Option<String>,
    /// The environment, with the twin's addresses and names in it.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// `MemorySize` in megabytes.
    pub memory_mb: u32,
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<u32>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment contains resolved secrets: its names may be shown, its values may not.
        f.debug_struct("Function")
            .field("logical_id", &self.logical_id)
            .field("name", &self.name)
            .field("binary", &self.binary)
            .field("environment", &self.environment.keys())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An HTTP API (API Gateway v2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpApi {
    /// Its name in the template.
    pub logical_id: String,
    /// The id that events carry as `requestContext.apiId`.
    pub api_id: String,
    /// The stage; `$default` adds nothing to the path.
    pub stage: String,
    /// Its routes.
    pub routes: Vec<HttpRoute>,
    /// The origins that may call it from a browser, if the template names any.
    pub cors: Option<Cors>,
}

/// One route of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// The method in capitals, or `ANY`.
    pub method: String,
    /// The path with its parameters, `/v1/devices/{deviceId}`, `/{proxy+}`; or `$default`, with the method `ANY`.
    pub path: String,
    /// The function, by logical id.
    pub function: String,
    /// The timeout of the integration, at most 30 seconds.
    pub timeout: Option<Duration>,
}

/// The CORS rules of an HTTP API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins, or `*`.
    pub allow_origins: Vec<String>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Request headers, or `*`.
    pub allow_headers: Vec<String>,
    /// Headers a page may read.
    pub expose_headers: Vec<String>,
    /// Whether credentials may be sent.
    pub allow_credentials: bool,
    /// How long a browser may cache the answer to a preflight.
    pub max_age: Option<Duration>,
}

/// A WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketApi {
    /// Its name in the template.
    pub logical_id: String,
    /// The id that events carry as `requestContext.apiId`.
    pub api_id: String,
    /// The stage, the first segment of every path.
    pub stage: String,
    /// For instance `$request.body.action`.
    pub route_selection_expression: String,
    /// The routes by key: `$connect`, `$disconnect`, `$default`, or a value of the selection expression.
    pub routes: BTreeMap<String, WebSocketRoute>,
}

impl WebSocketApi {
    /// The function of the route `$disconnect`, by logical id.
    pub(crate) fn disconnect(&self) -> Option<&str> {
        self.routes.get("$disconnect").map(|route| route.function.as_str())
    }
}

/// One route of a WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketRoute {
    /// The function, by logical id.
    pub function: String,
    /// Whether the function's answer is sent to the client.
    ///
    /// API Gateway requires two things for it: a `RouteResponseSelectionExpression` on the route and an
    /// `AWS::ApiGatewayV2::RouteResponse` resource of the key `$default`.
    pub has_route_response: bool,
    /// The timeout of the integration, at most 29 seconds.
    pub timeout: Option<Duration>,
}

/// An SQS queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name in SQS, which ends in `.fifo` if it is FIFO.
    pub name: String,
    /// The URL that functions receive.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it is FIFO.
    pub fifo: bool,
    /// Whether the deduplication id of a FIFO message defaults to the digest of its body.
    pub content_based_deduplication: bool,
    /// Whether deduplication ids are per group (`DeduplicationScope: messageGroup`).
    pub deduplicate_per_group: bool,
    /// `DelaySeconds`.
    pub delay: Duration,
    /// `VisibilityTimeout`.
    pub visibility_timeout: Duration,
    /// `MessageRetentionPeriod`.
    pub retention: Duration,
    /// `ReceiveMessageWaitTimeSeconds`.
    pub receive_wait: Duration,
    /// `MaximumMessageSize` in bytes.
    pub max_message_bytes: usize,
    /// The destination of messages that were received too often.
    pub redrive: Option<Redrive>,
}

/// A redrive policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// A message that was received this often is moved instead of being received once more.
    pub max_receives: u32,
}

/// A queue that feeds a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    /// The function, by logical id.
    pub function: String,
    /// The queue, by name.
    pub queue: String,
    /// The most messages in one invocation.
    pub batch_size: usize,
    /// How long to wait for a batch to fill.
    pub window: Duration,
    /// Whether the function may name the messages that failed (`ReportBatchItemFailures`).
    pub report_failures: bool,
    /// The most invocations at once.
    pub max_concurrency: Option<usize>,
    /// Whether it polls from the start.
    pub enabled: bool,
}

/// A schedule that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The rule's name.
    pub name: String,
    /// The function, by logical id.
    pub function: String,
    /// `rate(1 minute)` or `cron(…)`.
    pub expression: String,
    /// A constant payload instead of the scheduled event.
    pub input: Option<String>,
    /// Whether it runs.
    pub enabled: bool,
}

/// A DynamoDB table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name in DynamoDB.
    pub name: String,
    /// The `CreateTable` request: keys, attributes, indexes, billing mode.
    pub definition: Value,
    /// The attribute by which items expire.
    pub ttl_attribute: Option<String>,
}

/// A secret of Secrets Manager.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name in Secrets Manager.
    pub name: String,
    /// `SecretString`, or the result of `GenerateSecretString`; none if the template has neither.
    pub value: Option<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("logical_id", &self.logical_id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A symmetric key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name in the template.
    pub logical_id: String,
    /// Its id in KMS.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// `Description`.
    pub description: String,
    /// `Enabled`.
    pub enabled: bool,
    /// `EnableKeyRotation`.
    pub rotates: bool,
    /// `MultiRegion`.
    pub multi_region: bool,
    /// `KeyPolicy`; without one, the roles of the functions decide.
    pub(crate) policy: Option<KeyPolicy>,
}

/// A name for a key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAlias {
    /// `AliasName`, which begins with `alias/`.
    pub name: String,
    /// The id of its key.
    pub key_id: String,
}

impl Template {
    /// The function of this logical id or of this name in AWS.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name).or_else(|| self.functions.values().find(|function| function.name == name))
    }

    /// The policies of the keys of KMS, by the key's ARN.
    pub(crate) fn key_policies(&self) -> BTreeMap<String, KeyPolicy> {
        self.keys.iter().filter_map(|key| Some((key.arn.clone(), key.policy.clone()?))).collect()
    }

    /// The queue of this name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }
}
