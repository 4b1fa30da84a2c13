//! The rights that a caller needs for each operation
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>).

use serde_json::Value;

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
        "ExecuteStatement" => statement(body, arns).into_iter().collect(),
        "BatchExecuteStatement" => of_each(&body["Statements"], arns),
        "ExecuteTransaction" => of_each(&body["TransactStatements"], arns),
        "ListTables" | "ListStreams" | "DescribeEndpoints" => vec![Need::of(action(operation), "*")],
        _ => {
            let named = member(body, "ResourceArn").or_else(|| member(body, "StreamArn")).map(str::to_owned);
            // A shard iterator does not show its stream.
            let resource = named.or_else(|| table_arn(body, arns)).unwrap_or_else(|| "*".to_owned());
            vec![Need::of(action(operation), resource)]
        }
    }
}

/// The members of a transaction, each with its kind.
pub(super) fn members(body: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let items = body["TransactItems"].as_array().into_iter().flatten();
    items.filter_map(Value::as_object).flatten()
}

fn of_each(statements: &Value, arns: &Arns) -> Vec<Need> {
    statements.as_array().into_iter().flatten().filter_map(|it| statement(it, arns)).collect()
}

/// The right for a statement of PartiQL: its first word is the action, and the table follows the last word that
/// introduces one
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html>).
fn statement(request: &Value, arns: &Arns) -> Option<Need> {
    let text = member(request, "Statement")?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let (name, introduces) = match words.first()?.to_ascii_uppercase().as_str() {
        "SELECT" => ("PartiQLSelect", "FROM"),
        "INSERT" => ("PartiQLInsert", "INTO"),
        "UPDATE" => ("PartiQLUpdate", "UPDATE"),
        "DELETE" => ("PartiQLDelete", "FROM"),
        _ => return None,
    };
    let at = words.iter().position(|word| word.eq_ignore_ascii_case(introduces))?;
    let mut parts = words.get(at + 1)?.split('.').map(|part| part.trim_matches('"'));
    let table = arn_of(parts.next()?, arns);
    let resource = parts.next().map_or_else(|| table.clone(), |index| format!("{table}/index/{index}"));
    Some(Need::of(format!("dynamodb:{name}"), resource))
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
