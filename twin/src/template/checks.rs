//! Checks of the resources that the twin serves: bounds and misspelt properties, which AWS refuses, and properties that
//! the twin ignores.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TemplateError;
use super::known;
use super::model::Template;
use super::properties::Properties;
use super::resolve::{At, Resolver};

/// A property, with the least and the greatest value that AWS accepts.
type Bound = (&'static str, u64, u64);

const FUNCTION: &[Bound] = &[("Timeout", 1, 900), ("MemorySize", 128, 10_240)];

const QUEUE: &[Bound] = &[
    ("DelaySeconds", 0, 900),
    ("MaximumMessageSize", 1_024, 1_048_576),
    ("MessageRetentionPeriod", 60, 1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20),
    ("VisibilityTimeout", 0, 43_200),
];

const KEY: &[Bound] = &[("PendingWindowInDays", 7, 30), ("RotationPeriodInDays", 90, 2_560)];

/// The bounds of an event source mapping.
pub(super) const MAPPING: &[Bound] = &[("BatchSize", 1, 10_000), ("MaximumBatchingWindowInSeconds", 0, 300)];

/// The largest batch from a FIFO queue, or without a batching window.
const SMALL_BATCH: usize = 10;

/// The variables that Lambda itself sets, and that no template may
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>).
const RESERVED_VARIABLES: [&str; 19] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
];

/// The most bytes of all variables of a function together, as JSON.
const VARIABLES_BYTES: usize = 4_096;

/// The properties of resource types, as AWS documents them.
const PROPERTIES: &[(&str, &str)] = &[
    (
        "AWS::Serverless::Function",
        "Architectures AssumeRolePolicyDocument AutoPublishAlias AutoPublishAliasAllProperties \
         AutoPublishCodeSha256 CapacityProviderConfig CodeSigningConfigArn CodeUri DeadLetterQueue \
         DeploymentPreference Description DurableConfig Environment EphemeralStorage EventInvokeConfig \
         Events FileSystemConfigs FunctionName FunctionScalingConfig FunctionUrlConfig Handler \
         ImageConfig ImageUri InlineCode KmsKeyArn Layers LoggingConfig MemorySize PackageType \
         PermissionsBoundary Policies PropagateTags ProvisionedConcurrencyConfig \
         PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions Role RolePath Runtime \
         RuntimeManagementConfig SnapStart SourceKMSKeyArn Tags TenancyConfig Timeout Tracing \
         VersionDeletionPolicy VersionDescription VpcConfig",
    ),
    (
        "AWS::Lambda::Function",
        "Architectures CapacityProviderConfig Code CodeSigningConfigArn DeadLetterConfig Description \
         DurableConfig Environment EphemeralStorage FileSystemConfigs FunctionName FunctionScalingConfig \
         Handler ImageConfig KmsKeyArn Layers LoggingConfig MemorySize PackageType \
         PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions Role Runtime \
         RuntimeManagementConfig SnapStart Tags TenancyConfig Timeout TracingConfig VpcConfig",
    ),
    (
        "AWS::SQS::Queue",
        "ContentBasedDeduplication DeduplicationScope DelaySeconds FifoQueue FifoThroughputLimit \
         KmsDataKeyReusePeriodSeconds KmsMasterKeyId MaximumMessageSize MessageRetentionPeriod QueueName \
         ReceiveMessageWaitTimeSeconds RedriveAllowPolicy RedrivePolicy SqsManagedSseEnabled Tags \
         VisibilityTimeout",
    ),
    (
        "AWS::DynamoDB::Table",
        "AttributeDefinitions BillingMode ContributorInsightsSpecification DeletionProtectionEnabled \
         GlobalSecondaryIndexes ImportSourceSpecification KeySchema KinesisStreamSpecification \
         LocalSecondaryIndexes OnDemandThroughput PointInTimeRecoverySpecification ProvisionedThroughput \
         ResourcePolicy SSESpecification StreamSpecification TableClass TableName Tags \
         TimeToLiveSpecification WarmThroughput",
    ),
    (
        "AWS::Serverless::SimpleTable",
        "PointInTimeRecoverySpecification PrimaryKey ProvisionedThroughput SSESpecification TableName \
         Tags",
    ),
    (
        "AWS::SecretsManager::Secret",
        "Description GenerateSecretString KmsKeyId Name ReplicaRegions SecretString Tags Type",
    ),
    (
        "AWS::KMS::Key",
        "BypassPolicyLockoutSafetyCheck Description EnableKeyRotation Enabled KeyPolicy KeySpec KeyUsage \
         MultiRegion Origin PendingWindowInDays RotationPeriodInDays Tags",
    ),
    ("AWS::KMS::Alias", "AliasName TargetKeyId"),
];

/// Properties of functions that the twin ignores, and what that means.
const IGNORED: &[(&str, &str)] = &[
    ("DeadLetterConfig", "no failed invocation is sent there"),
    ("DeadLetterQueue", "no failed invocation is sent there"),
    ("FileSystemConfigs", "nothing is mounted"),
    ("InlineCode", "the function's bootstrap is run"),
    ("Layers", "no layer is loaded"),
    ("VpcConfig", "the function reaches what this machine reaches"),
];

/// Checks a resource.
pub(super) fn resource(
    resolver: &Resolver<'_>,
    logical_id: &str,
    kind: &str,
    properties: &Properties<'_, '_>,
) -> Result<(), TemplateError> {
    if let Some((_, known)) = PROPERTIES.iter().find(|(known, _)| *known == kind) {
        for name in properties.names() {
            if !known.split(' ').any(|known| known == name) {
                resolver.warn(format!("{logical_id}, {name}: {kind} has no such property, and AWS refuses it"));
            }
        }
    }
    if let Some((_, known)) = known::IAM.iter().find(|(of, _)| *of == kind) {
        known::only(properties, known)?;
    }
    match kind {
        "AWS::Serverless::Function" | "AWS::Lambda::Function" => {
            for (name, what) in IGNORED.iter().filter(|(name, _)| properties.has(name)) {
                resolver.warn(format!("{logical_id}, {name}: the twin ignores it; {what}"));
            }
            bounds(properties, FUNCTION)
        }
        "AWS::SQS::Queue" => bounds(properties, QUEUE),
        "AWS::KMS::Key" => bounds(properties, KEY),
        _ => Ok(()),
    }
}

/// Warns of connectors within a resource, from which SAM makes policies.
pub(super) fn connectors(resolver: &Resolver<'_>, logical_id: &str, resource: &Value) {
    for (name, _) in resource["Connectors"].as_object().into_iter().flatten() {
        resolver.warn(format!(
            "{logical_id}, Connectors.{name}: the twin makes no policies of connectors, and refuses what only these \
             allow"
        ));
    }
}

/// Refuses a number outside the bounds of AWS.
pub(super) fn bounds(properties: &Properties<'_, '_>, bounds: &[Bound]) -> Result<(), TemplateError> {
    for (name, least, most) in bounds {
        if let Some(number) = properties.number(name)?.filter(|number| !(least..=most).contains(&number)) {
            return Err(properties.at(name).error(format!("is {number}; AWS takes {least} to {most}")));
        }
    }
    Ok(())
}

/// Refuses the variables of a function that Lambda refuses.
pub(super) fn environment(variables: &BTreeMap<String, String>, at: &At) -> Result<(), TemplateError> {
    let is_name = |name: &str| {
        name.len() >= 2
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    for name in variables.keys() {
        if RESERVED_VARIABLES.contains(&name.as_str()) {
            return Err(at.child(name).error("Lambda sets this variable itself, and refuses it in a template"));
        }
        if !is_name(name) {
            let message = "Lambda takes names of two or more letters, digits and underscores that begin with a letter";
            return Err(at.child(name).error(message));
        }
    }
    match Value::from_iter(variables.clone()).to_string().len() {
        ..=VARIABLES_BYTES => Ok(()),
        bytes => Err(at.error(format!("is {bytes} bytes of JSON; Lambda takes {VARIABLES_BYTES}"))),
    }
}

/// Refuses batch sizes that AWS refuses.
pub(super) fn batches(template: &Template) -> Result<(), TemplateError> {
    for source in template.event_sources.iter().filter(|source| source.batch_size > SMALL_BATCH) {
        let at = At::resource(&source.function).child("BatchSize");
        match template.queue(&source.queue) {
            Some(queue) if queue.fifo => {
                return Err(at.error(format!("is {}; AWS takes 1 to 10 from a FIFO queue", source.batch_size)));
            }
            _ if source.window.is_zero() => {
                let message = "is over 10; AWS takes that only with a MaximumBatchingWindowInSeconds of 1 or more";
                return Err(at.error(message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a dependency on a resource that the template does not have.
pub(super) fn dependencies(document: &Value, logical_id: &str, resource: &Value) -> Result<(), TemplateError> {
    let Some(resources) = document["Resources"].as_object() else { return Ok(()) };
    let named: Vec<&str> = match &resource["DependsOn"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    // SAM generates resources whose ids begin with that of another: `FunctionRole`.
    let is_there = |name: &str| resources.keys().any(|id| name.starts_with(id.as_str()));
    match named.into_iter().find(|name| !is_there(name)) {
        Some(name) => Err(At::resource(logical_id).child("DependsOn").error(format!("there is no resource {name}"))),
        None => Ok(()),
    }
}

/// Refuses a method or a path that no route of an HTTP API can have.
pub(super) fn route(method: &str, path: &str, at: &At) -> Result<(), TemplateError> {
    const METHODS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    if !METHODS.contains(&method) {
        return Err(at.child("Method").error(format!("{method} is none of {}", METHODS.join(", "))));
    }
    if path != "$default" && !path.starts_with('/') {
        return Err(at.child("Path").error(format!("{path} does not begin with /")));
    }
    Ok(())
}

/// Refuses two routes with the same method and path.
pub(super) fn routes(template: &Template) -> Result<(), TemplateError> {
    let routes = template.http_api.as_ref().map(|api| &api.routes[..]).unwrap_or_default();
    for (place, route) in routes.iter().enumerate() {
        let same = |other: &&super::model::HttpRoute| (&other.method, &other.path) == (&route.method, &route.path);
        if let Some(earlier) = routes[..place].iter().find(same) {
            let message = format!("{} {} is also a route of {}", route.method, route.path, earlier.function);
            return Err(At::resource(&route.function).child("Events").error(message));
        }
    }
    Ok(())
}
