//! The cost of a trace, as one line: `DynamoDB 1 read 2 writes  SQS 1 send 1 receive 1 delete  posts 1`.

use std::collections::BTreeMap;

use crate::service::{Service, Words};

/// The line of these requests, which are counted by service and operation.
pub(super) fn line(requests: &BTreeMap<(Service, String), f64>) -> String {
    let mut by_words: BTreeMap<(Service, Words), f64> = BTreeMap::new();
    for ((service, operation), count) in requests {
        *by_words.entry((*service, service.words(operation))).or_default() += count;
    }
    let mut line = String::new();
    let mut last = "";
    for ((_, Words { group, one, many, .. }), count) in by_words {
        let amount = amount(count);
        if group.is_empty() {
            line.push_str(&format!("  {many} {amount}"));
        } else {
            let word = if amount == "1" { one } else { many };
            let lead = if group == last { " ".to_owned() } else { format!("  {group} ") };
            line.push_str(&format!("{lead}{amount} {word}"));
        }
        last = group;
    }
    line.trim_start().to_owned()
}

/// `2`, `0.1`, `0.33`.
fn amount(count: f64) -> String {
    let text = format!("{count:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
