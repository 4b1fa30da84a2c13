//! The rights that a caller needs for each operation
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>).

use serde_json::Value;

use super::partiql::{self, Target};
use crate::iam::{Arns, Need};
use crate::services::call::member;

/// The members of a transaction, and the actions that they need: there is no right to transactions
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>).
const MEMBERS: [(&str, &str); 5] = [
    ("ConditionCheck", "ConditionCheckItem"),
    ("Delete", "DeleteItem"),
    ("Get", "GetItem"),
    ("Put", "PutItem"),
    ("Update", "UpdateItem"),
];

/// The rights for an operation. A request that names no table needs none: DynamoDB refuses it.
pub(super) fn needs(operation: &str, body: &Value, arns: &Arns) -> Vec<Need> {
    let action = |name: &str| format!("dynamodb:{name}");
    match operation {
        "TransactGetItems" | "TransactWriteItems" => {
            let members = members(body).filter_map(|(member, request)| {
                let (_, name) = MEMBERS.iter().find(|(known, _)| *known == member)?;
                Some(Need::of(action(name), table_arn(request, arns)?))
            });
            members.collect()
        }
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            tables.map(|(table, _)| Need::of(action(operation), arn_of(table, arns))).collect()
        }
        "Query" | "Scan" => {
            let Some(table) = table_arn(body, arns) else { return Vec::new() };
            let resource = match member(body, "IndexName") {
                Some(index) => format!("{table}/index/{index}"),
                None => table,
            };
            vec![Need::of(action(operation), resource)]
        }
        "ExecuteStatement" => statement(body, arns),
        "BatchExecuteStatement" => of_each(&body["Statements"], arns),
        "ExecuteTransaction" => of_each(&body["TransactStatements"], arns),
        "ListTables" | "ListStreams" | "DescribeEndpoints" => vec![Need::of(action(operation), "*")],
        _ => {
            // Each operation looks at one member. Any other is not part of it, and names nothing.
            let resource = match operation {
                "ListTagsOfResource" | "TagResource" | "UntagResource" => {
                    member(body, "ResourceArn").map(str::to_owned)
                }
                "DescribeStream" | "GetShardIterator" => member(body, "StreamArn").map(str::to_owned),
                // A shard iterator does not show its stream.
                "GetRecords" => None,
                _ => table_arn(body, arns),
            };
            vec![resource.map_or_else(|| Need::of_unknown(action(operation)), |it| Need::of(action(operation), it))]
        }
    }
}

/// The members of a transaction, each with its kind.
pub(super) fn members(body: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let items = body["TransactItems"].as_array().into_iter().flatten();
    items.filter_map(Value::as_object).flatten()
}

fn of_each(statements: &Value, arns: &Arns) -> Vec<Need> {
    statements.as_array().into_iter().flatten().flat_map(|it| statement(it, arns)).collect()
}

/// The right for a statement of PartiQL
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html>). A statement that the twin does not
/// understand needs all of them, on everything.
fn statement(request: &Value, arns: &Arns) -> Vec<Need> {
    let Some(text) = member(request, "Statement") else { return Vec::new() };
    match partiql::target(text) {
        Some(Target { action, table, index }) => {
            let table = arn_of(&table, arns);
            let resource = index.map_or_else(|| table.clone(), |index| format!("{table}/index/{index}"));
            vec![Need::of(format!("dynamodb:{action}"), resource)]
        }
        None => ["PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"]
            .map(|name| Need::of_unknown(format!("dynamodb:{name}")))
            .to_vec(),
    }
}

fn table_arn(request: &Value, arns: &Arns) -> Option<String> {
    member(request, "TableName").map(|table| arn_of(table, arns))
}

/// The ARN of a table, which a request may name by its ARN, too.
fn arn_of(table: &str, arns: &Arns) -> String {
    match table.starts_with("arn:") {
        true => table.to_owned(),
        false => arns.of("dynamodb", &format!("table/{table}")),
    }
}
