//! Checks of `Globals` and of the resources that do without them
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>).

use serde_json::Value;

use super::TemplateError;
use super::resolve::{At, globals_of_kind};

/// The sections of `Globals`, each with the properties that SAM takes in it. Among those of functions are no `Role` and
/// no `Policies`.
const SECTIONS: &[(&str, &str)] = &[
    (
        "Api",
        "AccessLogSetting AlwaysDeploy Auth BinaryMediaTypes CacheClusterEnabled CacheClusterSize CanarySetting Cors \
         DefinitionUri Domain EndpointAccessMode EndpointConfiguration GatewayResponses MergeDefinitions \
         MethodSettings MinimumCompressionSize Name OpenApiVersion PropagateTags SecurityPolicy TracingEnabled \
         Variables",
    ),
    (
        "CapacityProvider",
        "InstanceRequirements KmsKeyArn LoggingConfig ManagedResourceTags OperatorRole PropagateTags ScalingConfig \
         Tags VpcConfig",
    ),
    (
        "Function",
        "Architectures AssumeRolePolicyDocument AutoPublishAlias AutoPublishAliasAllProperties \
         CapacityProviderConfig CodeSigningConfigArn CodeUri DeadLetterQueue DeploymentPreference Description \
         DurableConfig Environment EphemeralStorage EventInvokeConfig FileSystemConfigs FunctionScalingConfig \
         FunctionUrlConfig Handler KmsKeyArn Layers LoggingConfig MemorySize PermissionsBoundary PropagateTags \
         ProvisionedConcurrencyConfig PublishToLatestPublished RecursiveLoop ReservedConcurrentExecutions RolePath \
         Runtime RuntimeManagementConfig SnapStart SourceKMSKeyArn Tags TenancyConfig Timeout Tracing \
         VersionDeletionPolicy VpcConfig",
    ),
    (
        "HttpApi",
        "AccessLogSettings Auth CorsConfiguration DefaultRouteSettings Domain FailOnWarnings PropagateTags \
         RouteSettings StageVariables Tags",
    ),
    ("LayerVersion", "PublishLambdaVersion"),
    (
        "MicroVMImage",
        "AdditionalOsCapabilities BaseImageArn BaseImageVersion BuildRoleArn CpuConfigurations \
         EgressNetworkConnectors EnvironmentVariables Hooks Logging PropagateTags Resources Tags",
    ),
    ("NetworkConnector", "OperatorRole PropagateTags Tags"),
    ("SimpleTable", "SSESpecification"),
    ("StateMachine", "PropagateTags"),
    (
        "WebSocketApi",
        "AccessLogSettings ApiKeySelectionExpression DefaultRouteSettings DisableExecuteApiEndpoint \
         DisableSchemaValidation Domain FailOnWarnings IpAddressType PropagateTags RouteSelectionExpression \
         RouteSettings StageVariables Tags",
    ),
];

/// Refuses a section or a property of `Globals` that SAM refuses, and an `IgnoreGlobals` that names none of them.
pub(super) fn check(document: &Value) -> Result<(), TemplateError> {
    for (section, properties) in document["Globals"].as_object().into_iter().flatten() {
        let at = At::new("Globals");
        let Some((_, known)) = SECTIONS.iter().find(|(known, _)| known == section) else {
            let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            return Err(at.child(section).error(format!("Globals has no such property; there are {known}")));
        };
        let mut names = properties.as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(name) = names.find(|name| !known.split(' ').any(|known| known == *name)) {
            let message = format!("SAM takes no such property in Globals; there are {}", known.replace(' ', ", "));
            return Err(at.child(section).child(name).error(message));
        }
    }
    for (logical_id, resource) in document["Resources"].as_object().into_iter().flatten() {
        check_ignored(document, resource, &At::resource(logical_id).child("IgnoreGlobals"))?;
    }
    Ok(())
}

fn check_ignored(document: &Value, resource: &Value, at: &At) -> Result<(), TemplateError> {
    let Some(globals) = globals_of_kind(document, resource) else { return Ok(()) };
    match &resource["IgnoreGlobals"] {
        Value::Null => Ok(()),
        Value::String(all) if all == "*" => Ok(()),
        Value::Array(names) => {
            match names.iter().find(|name| !name.as_str().is_some_and(|name| globals.contains_key(name))) {
                Some(other) => Err(at.error(format!("{other} is no property of Globals"))),
                None => Ok(()),
            }
        }
        other => Err(at.error(format!("is {other}; SAM takes * and lists of properties"))),
    }
}
