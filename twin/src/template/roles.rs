//! The roles of functions, as SAM generates them and as templates declare them
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html#sam-function-policies>).

use serde_json::{Map, Value};

use super::TemplateError;
use super::model::{EventSource, Template};
use super::properties::Properties;
use super::resolve::{At, Resolver};
use super::unserved;
use crate::iam::named::{self, BASIC, QUEUE, TRACING};
use crate::iam::{Arns, Decision, Need, Origin, Role, Rule, trust};

/// Resources that attach policies to roles.
const ATTACHED: [&str; 3] = ["AWS::IAM::Policy", "AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy"];

const SERVERLESS: &str = "AWS::Serverless::Function";

/// The rights that Lambda needs on every queue that feeds a function.
const OF_QUEUES: [&str; 3] = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];

/// Reads the role of every function, and refuses what AWS refuses because of it.
pub(super) fn read(resolver: &Resolver<'_>, template: &mut Template) -> Result<(), TemplateError> {
    let reader = Reader { resolver, arns: resolver.arns() };
    let functions: Vec<String> = template.functions.keys().cloned().collect();
    for logical_id in functions {
        let properties = Properties::of(resolver, &logical_id);
        let sources = template.event_sources.iter().filter(|source| source.function == logical_id);
        let role = reader.role_of(&logical_id, &properties)?;
        let asked = reader.asked_by_lambda(&logical_id, &properties, sources)?;
        if properties.has("Role") || resolver.kind(&logical_id) == Some(SERVERLESS) {
            reader.check(&logical_id, &role, &asked)?;
        }
        if let Some(function) = template.functions.get_mut(&logical_id) {
            function.role.clone_from(&role.name);
        }
        let known = template.roles.entry(role.name.clone()).or_insert(role);
        known.asked_by_lambda.extend(asked);
    }
    Ok(())
}

struct Reader<'r, 'a> {
    resolver: &'r Resolver<'a>,
    arns: Arns,
}

impl Reader<'_, '_> {
    fn role_of(&self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<Role, TemplateError> {
        unserved::refuse(properties, unserved::FUNCTION_ROLE)?;
        let Some(arn) = properties.text("Role")? else {
            if self.resolver.kind(logical_id) != Some(SERVERLESS) {
                self.resolver.warn(format!("{logical_id}: it has no Role, and AWS refuses it; it may do nothing here"));
                let name = format!("{logical_id}Role");
                return Ok(Role { name, ..Role::default() });
            }
            return self.made_by_sam(logical_id, properties);
        };
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        if arn.starts_with(&self.arns.global("iam", "role/")) {
            if let Some(role) = self.resolver.named("AWS::IAM::Role", "RoleName", &name)? {
                return self.declared(&role, name);
            }
            // The role that SAM generates for another function.
            let maker = name.strip_suffix("Role").filter(|maker| self.resolver.kind(maker) == Some(SERVERLESS));
            if let Some(maker) = maker {
                let of_maker = Properties::of(self.resolver, maker);
                return self.made_by_sam(maker, &of_maker);
            }
        }
        self.resolver.warn(format!(
            "{logical_id}, Role: the template does not have {arn}; the twin does not know what it allows, and \
             allows all"
        ));
        Ok(Role { name, is_foreign: true, ..Role::default() })
    }

    /// The role that SAM generates, with the function's `Policies` and the rights that every function needs.
    fn made_by_sam(&self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<Role, TemplateError> {
        let at = properties.at("Policies");
        let mut rules = Vec::new();
        let tracing = properties.text("Tracing")?.is_some_and(|mode| mode != "Disabled");
        for (_, added) in [(true, BASIC), (tracing, TRACING), (self.is_fed(logical_id), QUEUE)]
            .iter()
            .filter(|(is_added, _)| *is_added)
        {
            rules.extend(named::of_aws(added, &Origin::Added).unwrap_or_default());
        }
        if let Some(document) = properties.get("AssumeRolePolicyDocument")? {
            trusts_lambda(&document, &properties.at("AssumeRolePolicyDocument"))?;
        }
        let policies = match properties.get("Policies")? {
            None => Vec::new(),
            Some(Value::Array(policies)) => policies,
            Some(one) => vec![one],
        };
        for (place, policy) in policies.iter().enumerate() {
            rules.extend(self.policy(policy, &at.child(place))?);
        }
        let name = format!("{logical_id}Role");
        rules.extend(self.attached(&name)?);
        Ok(Role { name, rules, ..Role::default() })
    }

    /// One of a function's `Policies`: the name of a managed policy, a policy template, or a document.
    fn policy(&self, policy: &Value, at: &At) -> Result<Vec<Rule>, TemplateError> {
        match policy {
            Value::String(arn) if arn.starts_with("arn:") => self.managed(arn, at),
            Value::String(name) => self.managed(&named::arn_of(name).map_err(|message| at.error(message))?, at),
            Value::Object(document) if document.contains_key("Statement") => self.document(policy, at),
            Value::Object(template) if template.len() == 1 => {
                let mut rules = Vec::new();
                for (name, parameters) in template {
                    let none = Map::new();
                    let parameters = parameters.as_object().unwrap_or(&none);
                    let made = named::sam_template(name, parameters, |service, rest| self.arns.of(service, rest));
                    rules.extend(made.map_err(|message| at.error(message))?);
                }
                Ok(rules)
            }
            _ => Err(at.error("is neither a policy's name, nor a policy template, nor a document with a Statement")),
        }
    }

    /// A role that the template declares.
    fn declared(&self, logical_id: &str, name: String) -> Result<Role, TemplateError> {
        let properties = Properties::of(self.resolver, logical_id);
        unserved::refuse(&properties, unserved::ROLE)?;
        let at = properties.at("AssumeRolePolicyDocument");
        let trust = properties.get("AssumeRolePolicyDocument")?;
        trusts_lambda(&trust.ok_or_else(|| at.error("is missing, and CloudFormation requires it"))?, &at)?;
        let mut rules = Vec::new();
        let at = properties.at("Policies");
        let policies = properties.get("Policies")?;
        for (place, policy) in policies.as_ref().and_then(Value::as_array).into_iter().flatten().enumerate() {
            if !policy["PolicyName"].is_string() {
                return Err(at.child(place).child("PolicyName").error("is missing, and CloudFormation requires it"));
            }
            rules.extend(self.document(&policy["PolicyDocument"], &at.child(place).child("PolicyDocument"))?);
        }
        for arn in properties.texts("ManagedPolicyArns")? {
            rules.extend(self.managed(&arn, &properties.at("ManagedPolicyArns"))?);
        }
        rules.extend(self.attached(&name)?);
        Ok(Role { name, rules, ..Role::default() })
    }

    /// The policies that other resources attach to a role of this name.
    fn attached(&self, role: &str) -> Result<Vec<Rule>, TemplateError> {
        let mut rules = Vec::new();
        for logical_id in self.resolver.of_kinds(&ATTACHED)? {
            let properties = Properties::of(self.resolver, &logical_id);
            let mut roles = properties.texts("Roles")?;
            roles.extend(properties.text("RoleName")?);
            if roles.iter().any(|named| named == role) {
                rules.extend(self.document_of(&properties)?);
            }
        }
        Ok(rules)
    }

    /// A managed policy, of the template or of AWS, by its ARN.
    fn managed(&self, arn: &str, at: &At) -> Result<Vec<Rule>, TemplateError> {
        if !arn.starts_with("arn:") {
            return Err(at.error(format!("{arn} is no ARN, and AWS takes the ARNs of policies here")));
        }
        for logical_id in self.resolver.of_kinds(&["AWS::IAM::ManagedPolicy"])? {
            if self.resolver.policy_arn(&logical_id)? == arn {
                return self.document_of(&Properties::of(self.resolver, &logical_id));
            }
        }
        let name = arn.rsplit('/').next().unwrap_or_default();
        named::managed(arn, &Origin::Named(name.to_owned())).map_err(|message| at.error(message))
    }

    fn document_of(&self, properties: &Properties<'_, '_>) -> Result<Vec<Rule>, TemplateError> {
        let document = properties.get("PolicyDocument")?.unwrap_or_default();
        self.document(&document, &properties.at("PolicyDocument"))
    }

    fn document(&self, document: &Value, at: &At) -> Result<Vec<Rule>, TemplateError> {
        Rule::of_document(document, &Origin::Written).map_err(|message| at.error(message))
    }

    /// Whether an event of the function is a queue. For a mapping beside the function, SAM adds no right.
    fn is_fed(&self, logical_id: &str) -> bool {
        let events =
            self.resolver.resource(logical_id).and_then(|resource| resource["Properties"]["Events"].as_object());
        events.into_iter().flatten().any(|(_, event)| event["Type"] == "SQS")
    }

    /// The rights that Lambda uses with the role of a function.
    fn asked_by_lambda<'s>(
        &self,
        logical_id: &str,
        properties: &Properties<'_, '_>,
        sources: impl Iterator<Item = &'s EventSource>,
    ) -> Result<Vec<Need>, TemplateError> {
        let group = match properties.inner("LoggingConfig")?.text("LogGroup")? {
            Some(group) => group,
            None => format!("/aws/lambda/{}", self.resolver.physical_name(logical_id, "FunctionName")?),
        };
        let stream = self.arns.of("logs", &format!("log-group:{group}:log-stream:twin"));
        let mut asked = vec![Need::of("logs:CreateLogStream", &stream), Need::of("logs:PutLogEvents", &stream)];
        let tracing = properties.inner("TracingConfig")?.text("Mode")?;
        if properties.text("Tracing")?.or(tracing).is_some_and(|mode| mode != "Disabled") {
            asked.push(Need::of("xray:PutTraceSegments", "*"));
            asked.push(Need::of("xray:PutTelemetryRecords", "*"));
        }
        for source in sources {
            asked.extend(OF_QUEUES.map(|action| Need::of(action, self.arns.of("sqs", &source.queue))));
        }
        asked.iter_mut().for_each(|need| self.arns.complete(need));
        Ok(asked)
    }

    /// Checks the rights that Lambda uses. Without those on a queue, CloudFormation refuses the mapping; without those
    /// on logs, the logs are lost.
    fn check(&self, logical_id: &str, role: &Role, asked: &[Need]) -> Result<(), TemplateError> {
        for need in asked.iter().filter(|need| !matches!(role.decide(need), Decision::Allowed(_))) {
            let (action, resource) = (&need.action, need.resource());
            let lacks = format!("its role {} does not allow {action} on {resource}", role.name);
            if action.starts_with("sqs:") {
                let message = format!("{lacks}, so that AWS refuses the event source mapping");
                return Err(At::resource(logical_id).child("Role").error(message));
            }
            let what = if action.starts_with("logs:") { "logs" } else { "traces" };
            self.resolver.warn(format!("{logical_id}: {lacks}; on AWS its {what} are lost"));
        }
        Ok(())
    }
}

/// Refuses the policy of a role that Lambda may not assume: Lambda refuses a function with it.
fn trusts_lambda(document: &Value, at: &At) -> Result<(), TemplateError> {
    match trust::allows_lambda(document) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(at.error("does not let lambda.amazonaws.com assume the role, so that Lambda refuses the function"))
        }
        Err(message) => Err(at.error(message)),
    }
}
