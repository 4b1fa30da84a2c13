//! The roles of functions, as templates and SAM make them.

use super::{Secrets, Settings, Template, TemplateError};
use crate::iam::{Decision, Need};

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:local-Q";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/local-T";

/// What stands for `TRUST` in these templates.
const TRUST: &str = "AssumeRolePolicyDocument: {Statement: \
                     {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: 'sts:AssumeRole'}}";

/// A template with a queue, a table, a function `F` and these lines among its resources. `function` are properties of
/// it.
fn with(function: &str, resources: &str) -> Result<Template, TemplateError> {
    let text = format!(
        "Transform: AWS::Serverless-2016-10-31
Parameters: {{From: {{Type: String, Default: a@example.com}}}}
Conditions: {{Never: !Equals [a, b]}}
Resources:
  Q: {{Type: AWS::SQS::Queue}}
  T: {{Type: AWS::Serverless::SimpleTable}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
{function}
{resources}"
    );
    let text = text.replace("TRUST", TRUST);
    let settings = Settings::new("http://127.0.0.1:1", "ws://127.0.0.1:2", "http://127.0.0.1:3");
    Template::parse(&text, &settings, &mut Secrets::in_memory())
}

/// Whether the function `F` may do this.
fn may(template: &Template, action: &str, resource: &str) -> bool {
    let role = &template.roles[&template.functions["F"].role];
    matches!(role.decide(&Need::of(action, resource)), Decision::Allowed(_))
}

#[test]
fn policies_of_a_function_come_in_every_form_that_sam_takes() {
    let rows = [
        "      Policies: {Statement: [{Effect: Allow, Action: 'dynamodb:GetItem', Resource: !GetAtt T.Arn}]}",
        "      Policies: [{Version: '2012-10-17', \
         Statement: {Effect: Allow, Action: ['dynamodb:Get*'], Resource: '*'}}]",
        "      Policies: [{DynamoDBReadPolicy: {TableName: !Ref T}}]",
        "      Policies: {DynamoDBReadPolicy: {TableName: !Ref T}}",
        "      Policies: AmazonDynamoDBReadOnlyAccess",
        "      Policies: [!Sub 'arn:${AWS::Partition}:iam::aws:policy/AmazonDynamoDBReadOnlyAccess', \
         AmazonSESFullAccess]",
        "      Policies: [!Ref Own]",
        "      Policies: [!GetAtt Own.PolicyArn]",
        "      Policies: !Sub 'arn:aws:iam::${AWS::AccountId}:policy/apps/local-Own'",
        "      Role: !GetAtt R.Arn",
    ];
    let resources = "
  Own:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Path: /apps/
      PolicyDocument: {Statement: [{Effect: Allow, Action: 'dynamodb:GetItem', Resource: !Sub '${T.Arn}'}]}
  R:
    Type: AWS::IAM::Role
    Properties:
      TRUST
      Policies:
        - PolicyName: own
          PolicyDocument: {Statement: {Effect: Allow, Action: 'dynamodb:GetItem', Resource: !GetAtt T.Arn}}";
    for row in rows {
        let template = with(row, resources).unwrap_or_else(|error| panic!("{row}: {error}"));
        assert!(may(&template, "dynamodb:GetItem", TABLE), "{row}");
        assert!(!may(&template, "dynamodb:PutItem", TABLE), "{row}");
    }
    let none = with("", "").unwrap();
    assert!(!may(&none, "dynamodb:GetItem", TABLE));
    assert!(may(&none, "logs:PutLogEvents", "*"), "what SAM gives every function");
    assert_eq!((none.functions["F"].role.as_str(), none.warnings.len()), ("FRole", 0));
}

#[test]
fn policies_are_attached_to_roles_from_outside_unless_their_condition_is_false() {
    let attached = |kind: &str, to: &str, condition: &str| {
        format!(
            "
  P:
    Type: AWS::IAM::{kind}
    {condition}
    Properties:
      {to}
      PolicyDocument: {{Statement: [{{Effect: Allow, Action: 'dynamodb:GetItem', Resource: '*'}}]}}
  R: {{Type: AWS::IAM::Role, Properties: {{RoleName: mine, TRUST}}}}"
        )
    };
    let own = "      Role: !GetAtt R.Arn";
    for (kind, to) in
        [("Policy", "Roles: [!Ref R]"), ("ManagedPolicy", "Roles: [!Ref R]"), ("RolePolicy", "RoleName: mine")]
    {
        assert!(may(&with(own, &attached(kind, to, "")).unwrap(), "dynamodb:GetItem", TABLE), "{kind}");
        let never = with(own, &attached(kind, to, "Condition: Never")).unwrap();
        assert!(!may(&never, "dynamodb:GetItem", TABLE), "{kind}");
    }
    let of_sam = attached("Policy", "Roles: [!Ref FRole]", "");
    assert!(may(&with("", &of_sam).unwrap(), "dynamodb:GetItem", TABLE), "the role that SAM makes");
    let managed = "      Role: !GetAtt S.Arn";
    let by_arn = "\n  S: {Type: AWS::IAM::Role, Properties: {ManagedPolicyArns: [!Ref P], TRUST}}";
    let template = with(managed, &format!("{}{by_arn}", attached("ManagedPolicy", "Description: p", ""))).unwrap();
    assert!(may(&template, "dynamodb:GetItem", TABLE));
}

#[test]
fn a_queue_feeds_a_function_whose_role_may_read_it() {
    let fed = |role: &str| {
        with(&format!("      Events: {{E: {{Type: SQS, Properties: {{Queue: !GetAtt Q.Arn}}}}}}\n{role}"), ROLE)
    };
    const ROLE: &str = "
  R:
    Type: AWS::IAM::Role
    Properties:
      TRUST
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage'], Resource: !GetAtt Q.Arn}";
    let of_sam = fed("").unwrap();
    assert!(may(&of_sam, "sqs:ReceiveMessage", QUEUE) && !may(&of_sam, "sqs:SendMessage", QUEUE));
    let refused = fed("      Role: !GetAtt R.Arn").unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "resource F, property Role: its role local-R does not allow sqs:GetQueueAttributes on {QUEUE}, so that \
             AWS refuses the event source mapping"
        )
    );
}

#[test]
fn what_the_twin_cannot_evaluate_fails_the_start_by_name() {
    let rows = [
        (
            "      Policies: ReadOnlyAccess",
            "",
            "resource F, property Policies.0: the twin does not know what the managed",
        ),
        ("      Policies: [{VPCAccessPolicy: {}}]", "", "the twin does not know the policy template VPCAccessPolicy"),
        ("      Policies: [{Statement: [{Effect: Allow, Action: a}]}]", "", "a is neither * nor service:Action"),
        (
            "      PermissionsBoundary: arn:aws:iam::aws:policy/p",
            "",
            "the twin does not evaluate permissions boundaries",
        ),
        (
            "      Role: !GetAtt R.Arn",
            "  R: {Type: AWS::IAM::Role, Properties: {PermissionsBoundary: p, TRUST}}",
            "resource R, property PermissionsBoundary: ",
        ),
        (
            "      Policies: [{Statement: [{Effect: Allow, Action: 'a:b', Resource: '*', Condition: {X: {y: z}}}]}]",
            "",
            "the twin does not evaluate the condition operator X",
        ),
    ];
    for (function, resources, sentence) in rows {
        let error = with(function, resources).unwrap_err().to_string();
        assert!(error.contains(sentence), "{function}: {error}");
    }
}

#[test]
fn a_role_that_the_template_does_not_have_allows_everything_and_is_named() {
    let foreign = with("      Role: arn:aws:iam::111111111111:role/theirs", "").unwrap();
    assert!(may(&foreign, "dynamodb:GetItem", TABLE));
    assert!(
        foreign.warnings[0].starts_with("F, Role: the template does not have arn:aws:iam::111111111111:role/theirs")
    );
    let shared = with(
        "      Role: !GetAtt GRole.Arn",
        "  G: {Type: 'AWS::Serverless::Function', Properties: {Runtime: provided}}",
    );
    let shared = shared.unwrap();
    assert_eq!((shared.functions["F"].role.as_str(), shared.roles.len()), ("GRole", 1));
    let lost = with("      Role: !GetAtt R.Arn", "  R: {Type: AWS::IAM::Role, Properties: {TRUST}}").unwrap();
    assert!(lost.warnings[0].contains("does not allow logs:CreateLogStream"), "{:?}", lost.warnings);
}

#[test]
fn conditions_on_what_every_request_has_count_for_lambda_too() {
    let fed = |policies: &str| {
        let event = "      Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}";
        with(&format!("{event}\n      Policies: [{{Statement: [{policies}]}}]"), "")
    };
    let deny = |condition: &str| format!("{{Effect: Deny, Action: '*', Resource: '*', Condition: {{{condition}}}}}");
    for harmless in ["StringNotEquals: {'aws:RequestedRegion': us-east-1}", "Bool: {'aws:SecureTransport': false}"] {
        let template = fed(&deny(harmless)).unwrap_or_else(|error| panic!("{harmless}: {error}"));
        assert_eq!(template.warnings, Vec::<String>::new(), "{harmless}");
    }
    for harmful in ["StringEquals: {'aws:RequestedRegion': us-east-1}", "Bool: {'aws:SecureTransport': true}"] {
        let refused = fed(&deny(harmful)).unwrap_err().to_string();
        assert!(refused.contains("does not allow sqs:ReceiveMessage"), "{harmful}: {refused}");
    }
    let conditional = "
  R:
    Type: AWS::IAM::Role
    Properties:
      TRUST
      Policies:
        - PolicyName: own
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: '*'
                Resource: '*'
                Condition: {StringEquals: {'aws:RequestedRegion': us-east-1}}";
    let event = "      Events: {E: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}\n      Role: !GetAtt R.Arn";
    with(event, conditional).unwrap();
}

#[test]
fn a_function_has_no_role_that_lambda_may_not_assume() {
    let role = |properties: &str| {
        with("      Role: !GetAtt R.Arn", &format!("  R: {{Type: AWS::IAM::Role, Properties: {{{properties}}}}}"))
    };
    let trust = |statements: &str| role(&format!("AssumeRolePolicyDocument: {{Statement: [{statements}]}}"));
    let of = |effect: &str, principal: &str, action: &str| {
        format!("{{Effect: {effect}, Principal: {principal}, Action: '{action}'}}")
    };
    let lambda = of("Allow", "{Service: [ec2.amazonaws.com, !Sub 'lambda.${AWS::URLSuffix}']}", "sts:Assume*");
    trust(&lambda).unwrap();
    let refused = [
        role("RoleName: mine"),
        trust(&of("Allow", "{Service: ec2.amazonaws.com}", "sts:AssumeRole")),
        trust(&of("Allow", "{Service: lambda.amazonaws.com}", "sts:TagSession")),
        trust(&format!("{lambda}, {}", of("Deny", "'*'", "sts:*"))),
        role("AssumeRolePolicyDocument: {}"),
        with("      AssumeRolePolicyDocument: {Statement: []}", ""),
    ];
    for refused in refused {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("property AssumeRolePolicyDocument: "), "{error}");
    }
}

#[test]
fn a_misspelt_property_of_a_role_or_a_policy_fails_the_start() {
    let rows = [
        ("Role", "TRUST, PermissionBoundary: p", "PermissionBoundary"),
        ("Policy", "PolicyName: p, Rolls: [FRole], PolicyDocument: {Statement: []}", "Rolls"),
        ("ManagedPolicy", "RoleName: p, PolicyDocument: {Statement: []}", "RoleName"),
        ("RolePolicy", "PolicyName: p, Roles: [FRole], PolicyDocument: {Statement: []}", "Roles"),
    ];
    for (kind, properties, name) in rows {
        let error = with("", &format!("  X: {{Type: AWS::IAM::{kind}, Properties: {{{properties}}}}}")).unwrap_err();
        let sentence = format!("resource X, property {name}: AWS::IAM::{kind} has no such property");
        assert!(error.to_string().starts_with(&sentence), "{error}");
    }
    let nameless = "TRUST, Policies: [{PolicyDocument: {Statement: []}}]";
    let nameless =
        with("      Role: !GetAtt R.Arn", &format!("  R: {{Type: AWS::IAM::Role, Properties: {{{nameless}}}}}"));
    assert!(nameless.unwrap_err().to_string().contains("PolicyName: is missing"));
}

#[test]
fn a_role_takes_managed_policies_by_arn_from_aws_and_the_template_only() {
    for arn in ["AmazonSQSFullAccess", "arn:aws:iam::123456789012:policy/AdministratorAccess"] {
        let role = format!("  R: {{Type: AWS::IAM::Role, Properties: {{TRUST, ManagedPolicyArns: ['{arn}']}}}}");
        let error = with("      Role: !GetAtt R.Arn", &role).unwrap_err().to_string();
        assert!(error.starts_with("resource R, property ManagedPolicyArns: ") && error.contains(arn), "{error}");
    }
}

#[test]
fn a_role_of_another_account_is_foreign_whatever_its_name() {
    let roles = "  Mine: {Type: AWS::IAM::Role, Properties: {RoleName: mine, TRUST}}";
    for name in ["mine", "TRole", "FRole"] {
        let foreign = with(&format!("      Role: arn:aws:iam::999999999999:role/{name}"), roles).unwrap();
        assert!(foreign.warnings[0].contains("the template does not have arn:aws:iam::999999999999"), "{name}");
        assert!(may(&foreign, "dynamodb:GetItem", TABLE), "{name}");
    }
    let of_a_table = with("      Role: !Sub 'arn:aws:iam::${AWS::AccountId}:role/TRole'", "").unwrap();
    assert_eq!(of_a_table.warnings.len(), 1, "SAM generates roles of functions only");
}

#[test]
fn connectors_are_named_because_they_give_no_rights() {
    let connected = "    Connectors: {C: {Properties: {Destination: {Id: T}, Permissions: [Read]}}}";
    let template = with(connected, "").unwrap();
    assert!(template.warnings[0].starts_with("F, Connectors.C: the twin makes no policies"), "{:?}", template.warnings);
}

/// The template with these `Globals` of functions, and these attributes of `F`.
fn globally(globals: &str, attributes: &str) -> Result<Template, TemplateError> {
    with(attributes, &format!("Globals: {{Function: {{{globals}}}}}"))
}

#[test]
fn globals_give_no_rights() {
    for (globals, name) in [
        ("Policies: [AmazonDynamoDBFullAccess]", "Policies"),
        ("Role: 'arn:aws:iam::000000000000:role/mine'", "Role"),
        ("PermissionBoundary: p", "PermissionBoundary"),
    ] {
        let error = globally(globals, "").unwrap_err().to_string();
        let sentence = format!("Globals, property Function.{name}: SAM takes no such property in Globals");
        assert!(error.starts_with(&sentence), "{error}");
    }
}

#[test]
fn a_resource_may_ignore_globals() {
    let globals = "PermissionsBoundary: p, Timeout: 7";
    assert!(globally(globals, "").unwrap_err().to_string().contains("permissions boundaries"));
    for (ignored, seconds) in [("'*'", 3), ("[PermissionsBoundary]", 7)] {
        let template = globally(globals, &format!("    IgnoreGlobals: {ignored}")).unwrap();
        assert_eq!(template.functions["F"].timeout.as_secs(), seconds, "{ignored}");
    }
    for wrong in ["Timeout", "[Tracing]", "{a: b}"] {
        let error = globally(globals, &format!("    IgnoreGlobals: {wrong}")).unwrap_err().to_string();
        assert!(error.starts_with("resource F, property IgnoreGlobals: "), "{wrong}: {error}");
    }
}
