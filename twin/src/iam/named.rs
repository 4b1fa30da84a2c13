//! Policies that templates name: those that AWS manages, as far as they concern services of the twin, and the policy
//! templates of SAM (serverless-policy-template-list.html in the developer guide of SAM).

use serde_json::{Map, Value};

use super::statement::{Origin, Rule};

/// Policies that AWS manages, by path and name, each with the actions that it allows on everything
/// (<https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html>).
const MANAGED: &[(&str, &[&str])] = &[
    ("AdministratorAccess", &["*"]),
    ("AmazonAPIGatewayInvokeFullAccess", &["execute-api:Invoke", "execute-api:ManageConnections"]),
    ("AmazonDynamoDBFullAccess", &["dynamodb:*"]),
    (
        "AmazonDynamoDBReadOnlyAccess",
        &[
            "dynamodb:BatchGetItem",
            "dynamodb:Describe*",
            "dynamodb:GetItem",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:List*",
            "dynamodb:PartiQLSelect",
            "dynamodb:Query",
            "dynamodb:Scan",
        ],
    ),
    ("AmazonSESFullAccess", &["ses:*"]),
    ("AmazonSNSFullAccess", &["sns:*"]),
    ("AmazonSQSFullAccess", &["sqs:*"]),
    ("AmazonSQSReadOnlyAccess", &["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:List*"]),
    (BASIC, &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]),
    (
        "service-role/AWSLambdaDynamoDBExecutionRole",
        &[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    ("service-role/AWSLambdaRole", &["lambda:InvokeFunction"]),
    (
        QUEUE,
        &[
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    ),
    (
        "service-role/AWSLambdaVPCAccessExecutionRole",
        &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "ec2:*"],
    ),
    (TRACING, &["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSampling*"]),
    ("SecretsManagerReadWrite", &["secretsmanager:*"]),
];

/// The policy that SAM gives every role that it generates.
pub(crate) const BASIC: &str = "service-role/AWSLambdaBasicExecutionRole";
/// The policy that SAM adds for a queue that feeds the function.
pub(crate) const QUEUE: &str = "service-role/AWSLambdaSQSQueueExecutionRole";
/// The policy that SAM adds for a function with `Tracing`.
pub(crate) const TRACING: &str = "AWSXRayDaemonWriteAccess";

/// A policy template of SAM: its parameter, the actions that it allows, and on which resources, with `{}` for the
/// parameter's value.
struct Template {
    name: &'static str,
    parameter: &'static str,
    actions: &'static [&'static str],
    resources: &'static [&'static str],
}

const fn template(
    name: &'static str,
    parameter: &'static str,
    actions: &'static [&'static str],
    resources: &'static [&'static str],
) -> Template {
    Template { name, parameter, actions, resources }
}

const TABLE: &[&str] = &["dynamodb table/{}", "dynamodb table/{}/index/*"];

const TEMPLATES: &[Template] = &[
    template("AWSSecretsManagerGetSecretValuePolicy", "SecretArn", &["secretsmanager:GetSecretValue"], &["{}"]),
    template(
        "DynamoDBCrudPolicy",
        "TableName",
        &[
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:BatchGetItem",
            "dynamodb:DescribeTable",
            "dynamodb:ConditionCheckItem",
        ],
        TABLE,
    ),
    template(
        "DynamoDBReadPolicy",
        "TableName",
        &["dynamodb:GetItem", "dynamodb:Scan", "dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:DescribeTable"],
        TABLE,
    ),
    template("DynamoDBReconfigurePolicy", "TableName", &["dynamodb:UpdateTable"], &["dynamodb table/{}"]),
    template(
        "DynamoDBWritePolicy",
        "TableName",
        &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem"],
        TABLE,
    ),
    template("KMSDecryptPolicy", "KeyId", &["kms:Decrypt"], &["kms key/{}"]),
    template("KMSEncryptPolicy", "KeyId", &["kms:Encrypt"], &["kms key/{}"]),
    template("LambdaInvokePolicy", "FunctionName", &["lambda:InvokeFunction"], &["lambda function:{}*"]),
    template(
        "SESCrudPolicy",
        "IdentityName",
        &["ses:GetIdentityVerificationAttributes", "ses:SendEmail", "ses:SendRawEmail", "ses:VerifyEmailIdentity"],
        &["ses identity/{}"],
    ),
    template(
        "SNSCrudPolicy",
        "TopicName",
        &["sns:ListSubscriptionsByTopic", "sns:CreateTopic", "sns:SetTopicAttributes", "sns:Subscribe", "sns:Publish"],
        &["sns {}*"],
    ),
    template("SNSPublishMessagePolicy", "TopicName", &["sns:Publish"], &["sns {}"]),
    template(
        "SQSPollerPolicy",
        "QueueName",
        &["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        &["sqs {}"],
    ),
    template("SQSSendMessagePolicy", "QueueName", &["sqs:SendMessage*"], &["sqs {}"]),
];

/// The beginning of the ARNs of policies that AWS manages.
const OF_AWS: &str = "arn:aws:iam::aws:policy/";

/// The ARN that SAM writes for the name of a policy that AWS manages.
pub(crate) fn arn_of(name: &str) -> Result<String, String> {
    let known = MANAGED.iter().find(|(path, _)| path.rsplit('/').next() == Some(name));
    known.map(|(path, _)| format!("{OF_AWS}{path}")).ok_or_else(|| unknown(name))
}

/// The rules of a policy that AWS manages, by its ARN.
pub(crate) fn managed(arn: &str, origin: &Origin) -> Result<Vec<Rule>, String> {
    arn.strip_prefix(OF_AWS).and_then(|path| of_aws(path, origin)).ok_or_else(|| unknown(arn))
}

/// The rules of a policy that AWS manages, by its path and name.
pub(crate) fn of_aws(path: &str, origin: &Origin) -> Option<Vec<Rule>> {
    let (_, actions) = MANAGED.iter().find(|(known, _)| *known == path)?;
    Some(actions.iter().map(|action| Rule::allow(origin.clone(), action, "*".to_owned())).collect())
}

fn unknown(reference: &str) -> String {
    let known: Vec<&str> = MANAGED.iter().map(|(path, _)| *path).collect();
    format!(
        "the twin does not know what the managed policy {reference} allows; write its statements, or name one of {}",
        known.join(", ")
    )
}

/// The rules of a policy template of SAM; `arn` writes an ARN of this service and resource.
pub(crate) fn sam_template(
    name: &str,
    parameters: &Map<String, Value>,
    arn: impl Fn(&str, &str) -> String,
) -> Result<Vec<Rule>, String> {
    let Some(template) = TEMPLATES.iter().find(|known| known.name == name) else {
        let known: Vec<&str> = TEMPLATES.iter().map(|known| known.name).collect();
        return Err(format!(
            "the twin does not know the policy template {name}; write its statements, or use one of {}",
            known.join(", ")
        ));
    };
    let value = parameters.get(template.parameter).and_then(Value::as_str);
    let value = value.ok_or_else(|| format!("{name} needs {}", template.parameter))?;
    let origin = Origin::Named(format!("{name} of {value}"));
    let mut rules = Vec::new();
    for resource in template.resources {
        let resource = match resource.split_once(' ') {
            Some((service, resource)) => arn(service, &resource.replace("{}", value)),
            None => value.to_owned(),
        };
        rules.extend(template.actions.iter().map(|action| Rule::allow(origin.clone(), action, resource.clone())));
    }
    Ok(rules)
}
