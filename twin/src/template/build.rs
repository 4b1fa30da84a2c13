//! The construction of the model from a template's resources.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::TemplateError;
use super::api::Apis;
use super::checks;
use super::globals;
use super::keys;
use super::known;
use super::model::{EventSource, Function, Queue, Redrive, Schedule, Secret, Table, Template};
use super::properties::{Properties, function_named};
use super::references;
use super::resolve::{At, Resolver, text_of};
use super::roles;
use super::unserved::{self, refuse};

/// Resources that have no effect here, or that are read for themselves.
const WITHOUT_COUNTERPART: &[&str] = &[
    "AWS::ApiGatewayV2::Deployment",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::SQS::QueuePolicy",
];

/// The runtimes of functions with a `bootstrap`.
const RUNTIMES: [&str; 3] = ["provided.al2023", "provided.al2", "provided"];

/// Builds the model from a template's JSON.
pub(super) fn build(document: &Value, resolver: Resolver<'_>) -> Result<Template, TemplateError> {
    let empty = Map::new();
    let resources = document.get("Resources").and_then(Value::as_object).unwrap_or(&empty);
    let mut builder = Builder { resolver: &resolver, template: Template::default(), apis: Apis::default() };
    check(document, &resolver)?;
    let mut wanted = Vec::new();
    for (logical_id, resource) in resources {
        known::resource(resource, &At::resource(logical_id))?;
        if resolver.is_wanted(resource, &At::resource(logical_id))? {
            checks::dependencies(document, logical_id, resource)?;
            let kind = resource.get("Type").and_then(Value::as_str);
            wanted.push((logical_id, kind.ok_or_else(|| At::resource(logical_id).error("it has no Type"))?, resource));
        }
    }
    // Functions first: routes, mappings and rules name them.
    for (logical_id, kind, resource) in &wanted {
        if matches!(*kind, "AWS::Serverless::Function" | "AWS::Lambda::Function") {
            builder.function(logical_id, kind, resource)?;
        }
    }
    for (logical_id, kind, resource) in &wanted {
        builder.resource(logical_id, kind)?;
        checks::connectors(&resolver, logical_id, resource);
    }
    for (logical_id, kind, resource) in &wanted {
        if *kind == "AWS::Serverless::Function" {
            builder.events(logical_id, resource)?;
        }
    }
    let Builder { mut template, apis, .. } = builder;
    apis.finish(&resolver, &mut template)?;
    check_queues(&template)?;
    checks::batches(&template)?;
    checks::routes(&template)?;
    keys::read(&resolver, &mut template)?;
    roles::read(&resolver, &mut template)?;
    for secret in resolver.secrets_besides(&template.secrets) {
        resolver.warn(format!("the template has no secret {secret} now; the data folder keeps its value"));
    }
    outputs(document, &resolver, &mut template)?;
    template.warnings = resolver.into_warnings();
    Ok(template)
}

/// Refuses what makes a template invalid as a whole.
fn check(document: &Value, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
    known::sections(document)?;
    globals::check(document)?;
    references::check(document, resolver)?;
    resolver.check_rules()
}

fn outputs(document: &Value, resolver: &Resolver<'_>, template: &mut Template) -> Result<(), TemplateError> {
    for (name, output) in document.get("Outputs").and_then(Value::as_object).into_iter().flatten() {
        let at = At::new(format!("output {name}"));
        if resolver.is_wanted(output, &at)?
            && let Some(value) = resolver.value(&output["Value"], &at)?
        {
            template.outputs.insert(name.clone(), text_of(&value, &at)?);
        }
    }
    Ok(())
}

struct Builder<'r, 'a> {
    resolver: &'r Resolver<'a>,
    template: Template,
    apis: Apis,
}

impl Builder<'_, '_> {
    fn resource(&mut self, logical_id: &str, kind: &str) -> Result<(), TemplateError> {
        let properties = Properties::of(self.resolver, logical_id);
        checks::resource(self.resolver, logical_id, kind, &properties)?;
        match kind {
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => {}
            "AWS::SQS::Queue" => self.queue(logical_id, &properties)?,
            "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable" => self.table(logical_id, &properties)?,
            "AWS::Serverless::SimpleTable" => self.simple_table(logical_id, &properties)?,
            "AWS::Lambda::EventSourceMapping" => self.mapping(logical_id, &properties)?,
            "AWS::SecretsManager::Secret" => self.secret(logical_id, &properties)?,
            "AWS::Events::Rule" => self.rule(logical_id, &properties)?,
            "AWS::Scheduler::Schedule" => self.scheduler(logical_id, &properties)?,
            _ if self.apis.take(logical_id, kind, &properties, &self.template)? => {}
            "AWS::ApiGatewayV2::DomainName" => {
                refuse(&properties, unserved::DOMAIN)?;
                self.resolver.warn(format!("{logical_id}: the twin has no {kind}"));
            }
            _ if WITHOUT_COUNTERPART.contains(&kind) => {}
            _ => self.resolver.warn(format!("{logical_id}: the twin has no {kind}")),
        }
        Ok(())
    }

    fn mapping(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let function = self.function_named(&properties.required("FunctionName")?, &properties.at("FunctionName"))?;
        let queue = properties.required("EventSourceArn")?;
        if queue.contains(":sqs:") {
            return self.event_source(function, &queue, properties);
        }
        self.resolver.warn(format!("{logical_id}: the twin feeds functions from queues only"));
        Ok(())
    }

    fn scheduler(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let target = properties.inner("Target")?;
        let function = self.function_named(&target.required("Arn")?, &target.at("Arn"))?;
        let input = target.text("Input")?;
        self.schedule(logical_id, function, properties.required("ScheduleExpression")?, input, properties)
    }

    fn function(&mut self, logical_id: &str, kind: &str, resource: &Value) -> Result<(), TemplateError> {
        let properties = Properties::of(self.resolver, logical_id);
        let name = self.resolver.physical_name(logical_id, "FunctionName")?;
        let runtime = properties.text("Runtime")?;
        if properties.text("PackageType")?.as_deref() == Some("Image") {
            self.resolver.warn(format!("{logical_id}: it is a container image, which the twin cannot run"));
        } else if !runtime.as_deref().is_some_and(|runtime| RUNTIMES.contains(&runtime)) {
            let runtime = runtime.unwrap_or_else(|| "(none)".to_owned());
            let known = RUNTIMES.join(", ");
            self.resolver.warn(format!(
                "{logical_id}, Runtime: the twin does not know {runtime}, only {known}; it runs the function's \
                 bootstrap"
            ));
        }
        if properties.has("FunctionUrlConfig") {
            self.resolver.warn(format!("{logical_id}: the twin serves no function URL (FunctionUrlConfig)"));
        }
        let variables = properties.inner("Environment")?.inner("Variables")?;
        let mut environment = BTreeMap::new();
        for variable in variables.names() {
            if let Some(value) = variables.text(&variable)? {
                environment.insert(variable, value);
            }
        }
        checks::environment(&environment, variables.place())?;
        let code_uri = match kind {
            "AWS::Serverless::Function" => properties.get("CodeUri")?,
            _ => None,
        };
        let function = Function {
            logical_id: logical_id.to_owned(),
            arn: self.resolver.function_arn(&name),
            role: String::new(),
            name,
            binary: resource["Metadata"]["BuildProperties"]["Binary"].as_str().map(str::to_owned),
            code_uri: code_uri.as_ref().and_then(Value::as_str).map(PathBuf::from),
            handler: properties.text("Handler")?,
            environment,
            timeout: properties.seconds("Timeout", 3)?,
            memory_mb: narrow(properties.number("MemorySize")?.unwrap_or(128), &properties.at("MemorySize"))?,
            reserved_concurrency: properties
                .number("ReservedConcurrentExecutions")?
                .map(|limit| narrow(limit, &properties.at("ReservedConcurrentExecutions")))
                .transpose()?,
        };
        self.template.functions.insert(logical_id.to_owned(), function);
        Ok(())
    }

    fn events(&mut self, logical_id: &str, resource: &Value) -> Result<(), TemplateError> {
        let Some(events) = resource["Properties"].get("Events").and_then(Value::as_object) else { return Ok(()) };
        for (name, event) in events {
            let at = At::resource(logical_id).child(format!("Events.{name}"));
            known::event(event, &at)?;
            let values = event.get("Properties").and_then(Value::as_object).cloned().unwrap_or_default();
            let properties = Properties::new(self.resolver, values, at);
            let function = logical_id.to_owned();
            let kind = event["Type"].as_str().unwrap_or_default();
            if let Some((_, known)) = known::EVENTS.iter().find(|(of, _)| *of == kind) {
                known::only(&properties, known)?;
            }
            match kind {
                "HttpApi" => self.apis.http_event(function, &properties, self.resolver)?,
                "SQS" => {
                    let queue = properties.required("Queue")?;
                    self.event_source(function, &queue, &properties)?;
                }
                "Schedule" => {
                    let (expression, input) = (properties.required("Schedule")?, properties.text("Input")?);
                    self.schedule(&format!("{logical_id}{name}"), function, expression, input, &properties)?;
                }
                "ScheduleV2" => {
                    let (expression, input) = (properties.required("ScheduleExpression")?, properties.text("Input")?);
                    self.schedule(&format!("{logical_id}{name}"), function, expression, input, &properties)?;
                }
                other => self.resolver.warn(format!("{logical_id}: the twin does not serve its {other} event {name}")),
            }
        }
        Ok(())
    }

    fn queue(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let name = self.resolver.physical_name(logical_id, "QueueName")?;
        let fifo = self.resolver.is_fifo(logical_id)?;
        if fifo != name.ends_with(".fifo") {
            return Err(properties.at("QueueName").error("ends in .fifo if and only if FifoQueue is true"));
        }
        let redrive = properties.inner("RedrivePolicy")?;
        let redrive = match redrive.text("deadLetterTargetArn")? {
            None => None,
            Some(arn) => Some(Redrive {
                dead_letter_queue: arn.rsplit(':').next().unwrap_or_default().to_owned(),
                max_receives: narrow(
                    redrive
                        .number("maxReceiveCount")?
                        .ok_or_else(|| redrive.at("maxReceiveCount").error("is missing"))?,
                    &redrive.at("maxReceiveCount"),
                )?,
            }),
        };
        let max_message_bytes = properties.number("MaximumMessageSize")?.unwrap_or(1_048_576);
        self.template.queues.push(Queue {
            logical_id: logical_id.to_owned(),
            url: self.resolver.queue_url(&name),
            arn: self.resolver.queue_arn(&name),
            name,
            fifo,
            content_based_deduplication: properties.flag("ContentBasedDeduplication", false)?,
            deduplicate_per_group: properties.text("DeduplicationScope")?.as_deref() == Some("messageGroup"),
            delay: properties.seconds("DelaySeconds", 0)?,
            visibility_timeout: properties.seconds("VisibilityTimeout", 30)?,
            retention: properties.seconds("MessageRetentionPeriod", 345_600)?,
            receive_wait: properties.seconds("ReceiveMessageWaitTimeSeconds", 0)?,
            max_message_bytes: narrow(max_message_bytes, &properties.at("MaximumMessageSize"))? as usize,
            redrive,
        });
        Ok(())
    }

    fn table(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let name = self.resolver.physical_name(logical_id, "TableName")?;
        let mut definition = Map::from_iter([("TableName".to_owned(), Value::String(name.clone()))]);
        for property in
            ["KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "BillingMode"]
        {
            if let Some(value) = properties.get(property)? {
                definition.insert(property.to_owned(), value);
            }
        }
        // Provisioned throughput is not emulated: every table behaves as one on demand.
        definition.insert("BillingMode".to_owned(), json!("PAY_PER_REQUEST"));
        for index in definition.get_mut("GlobalSecondaryIndexes").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(index) = index.as_object_mut() {
                index.retain(|name, _| matches!(name.as_str(), "IndexName" | "KeySchema" | "Projection"));
            }
        }
        let ttl = properties.inner("TimeToLiveSpecification")?;
        let ttl_attribute = if ttl.flag("Enabled", false)? { ttl.text("AttributeName")? } else { None };
        let definition = Value::Object(definition);
        self.template.tables.push(Table { logical_id: logical_id.to_owned(), name, definition, ttl_attribute });
        Ok(())
    }

    fn simple_table(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let name = self.resolver.physical_name(logical_id, "TableName")?;
        let key = properties.inner("PrimaryKey")?;
        let attribute = key.text("Name")?.unwrap_or_else(|| "id".to_owned());
        let kind = match key.text("Type")?.as_deref() {
            Some("Number") => "N",
            Some("Binary") => "B",
            _ => "S",
        };
        let definition = json!({
            "TableName": name,
            "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": attribute, "AttributeType": kind}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.template.tables.push(Table { logical_id: logical_id.to_owned(), name, definition, ttl_attribute: None });
        Ok(())
    }

    fn secret(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let has_value = properties.has("SecretString") || properties.has("GenerateSecretString");
        self.template.secrets.push(Secret {
            name: self.resolver.physical_name(logical_id, "Name")?,
            logical_id: logical_id.to_owned(),
            value: if has_value { Some(self.resolver.secret_value(logical_id)?) } else { None },
        });
        Ok(())
    }

    fn event_source(
        &mut self,
        function: String,
        queue_arn: &str,
        properties: &Properties<'_, '_>,
    ) -> Result<(), TemplateError> {
        checks::bounds(properties, checks::MAPPING)?;
        let concurrency = properties.inner("ScalingConfig")?;
        checks::bounds(&concurrency, &[("MaximumConcurrency", 2, 1_000)])?;
        let max_concurrency = concurrency.number("MaximumConcurrency")?;
        let batch_size = properties.number("BatchSize")?.unwrap_or(10);
        refuse(&properties.inner("FilterCriteria")?, unserved::FILTER)?;
        self.template.event_sources.push(EventSource {
            function,
            queue: queue_arn.rsplit([':', '/']).next().unwrap_or_default().to_owned(),
            batch_size: narrow(batch_size.max(1), &properties.at("BatchSize"))? as usize,
            window: properties.seconds("MaximumBatchingWindowInSeconds", 0)?,
            report_failures: properties
                .texts("FunctionResponseTypes")?
                .iter()
                .any(|it| it == "ReportBatchItemFailures"),
            max_concurrency: max_concurrency
                .map(|limit| narrow(limit, &concurrency.at("MaximumConcurrency")))
                .transpose()?
                .map(|limit| limit as usize),
            enabled: properties.flag("Enabled", true)?,
        });
        Ok(())
    }

    fn rule(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        let Some(expression) = properties.text("ScheduleExpression")? else {
            self.resolver.warn(format!("{logical_id}: the twin has no event bus; only schedules are served"));
            return Ok(());
        };
        let targets = properties.get("Targets")?;
        for target in targets.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let arn = target.get("Arn").and_then(Value::as_str).unwrap_or_default();
            let function = self.function_named(arn, &properties.at("Targets"))?;
            let input = target.get("Input").and_then(Value::as_str).map(str::to_owned);
            self.schedule(logical_id, function, expression.clone(), input, properties)?;
        }
        Ok(())
    }

    fn schedule(
        &mut self,
        name: &str,
        function: String,
        expression: String,
        input: Option<String>,
        properties: &Properties<'_, '_>,
    ) -> Result<(), TemplateError> {
        let enabled = properties.flag("Enabled", true)? && properties.text("State")?.as_deref() != Some("DISABLED");
        let name = properties.text("Name")?.unwrap_or_else(|| name.to_owned());
        self.template.schedules.push(Schedule { name, function, expression, input, enabled });
        Ok(())
    }

    fn function_named(&self, name: &str, at: &At) -> Result<String, TemplateError> {
        function_named(&self.template, name, at)
    }
}

/// A number that AWS bounds far below 2³².
fn narrow(number: u64, at: &At) -> Result<u32, TemplateError> {
    u32::try_from(number).map_err(|_| at.error("is far too large"))
}

fn check_queues(template: &Template) -> Result<(), TemplateError> {
    for queue in &template.queues {
        let at = At::resource(&queue.logical_id).child("RedrivePolicy");
        let Some(redrive) = &queue.redrive else { continue };
        match template.queue(&redrive.dead_letter_queue) {
            None => return Err(at.error(format!("{} is no queue of this template", redrive.dead_letter_queue))),
            Some(dead_letters) if dead_letters.fifo != queue.fifo => {
                return Err(at.error("a FIFO queue's dead letters go to a FIFO queue, and only there"));
            }
            Some(_) => {}
        }
    }
    for source in &template.event_sources {
        let Some(queue) = template.queue(&source.queue) else {
            let at = At::resource(&source.function).child("Events");
            return Err(at.error(format!("{} is no queue of this template", source.queue)));
        };
        let timeout = template.functions.get(&source.function).map(|function| function.timeout).unwrap_or_default();
        if queue.visibility_timeout < timeout {
            // CloudFormation refuses the mapping, with this reason.
            let at = At::resource(&queue.logical_id).child("VisibilityTimeout");
            return Err(at.error(format!("is less than the timeout of its function {}", source.function)));
        }
    }
    Ok(())
}
