//! The roles of functions, as templates and SAM make them.

use super::{Secrets, Settings, Template, TemplateError};
use crate::iam::{Decision, Need};

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:local-Q";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/local-T";

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
        "      Role: !GetAtt R.Arn",
    ];
    let resources = "
  Own:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Statement: [{Effect: Allow, Action: 'dynamodb:GetItem', Resource: !Sub '${T.Arn}'}]}
  R:
    Type: AWS::IAM::Role
    Properties:
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
      PolicyName: p
      {to}
      PolicyDocument: {{Statement: [{{Effect: Allow, Action: 'dynamodb:GetItem', Resource: '*'}}]}}
  R: {{Type: AWS::IAM::Role, Properties: {{RoleName: mine}}}}"
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
    let by_arn = "\n  S: {Type: AWS::IAM::Role, Properties: {ManagedPolicyArns: [!Ref P]}}";
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
            "  R: {Type: AWS::IAM::Role, Properties: {PermissionsBoundary: p}}",
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
    let lost = with("      Role: !GetAtt R.Arn", "  R: {Type: AWS::IAM::Role}").unwrap();
    assert!(lost.warnings[0].contains("does not allow logs:CreateLogStream"), "{:?}", lost.warnings);
}
