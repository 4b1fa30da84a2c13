//! The check of rules: one that could never strike is refused, because a test that sets it would wait in vain.

use super::kind::Fault;
use super::rule::Rule;
use crate::control::no_such;

/// The names that a rule may contain.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The functions, by logical id.
    pub(crate) functions: Vec<String>,
    /// The AWS services.
    pub(crate) services: Vec<Called>,
    /// The queues by name, and whether each is FIFO.
    pub(crate) queues: Vec<(String, bool)>,
    /// The functions that queues feed, each with its queue.
    pub(crate) fed: Vec<(String, String)>,
    /// The function of the route `$disconnect`.
    pub(crate) disconnect: Option<String>,
}

/// The names of a service that a rule may contain.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    /// Its name.
    pub(crate) service: &'static str,
    /// Its operations, and the faults that each can meet.
    pub(crate) operations: Vec<(&'static str, Vec<Fault>)>,
}

/// Refuses a rule that can never strike, with the reason.
pub(super) fn check(rule: &Rule, names: &Names) -> Result<(), String> {
    if rule.times == 0 {
        return Err("times is 0: the rule would never strike".to_owned());
    }
    if let Some(function) = rule.function.as_deref().filter(|name| !names.functions.iter().any(|it| it == name)) {
        return Err(no_such("function", function, &names.functions));
    }
    if let Some(service) = rule.service.as_deref().filter(|name| !names.services.iter().any(|it| it.service == *name)) {
        return Err(no_such("service", service, names.services.iter().map(|it| it.service)));
    }
    match elsewhere(rule, names) {
        Some(places) => check_elsewhere(rule, &places),
        None => check_request(rule, names),
    }
}

/// The operations of a fault that strikes elsewhere than at a request to a service, of the rule's function if it names
/// one.
fn elsewhere<'n>(rule: &Rule, names: &'n Names) -> Option<Vec<&'n str>> {
    let is_asked = |function: &str| rule.function.as_deref().is_none_or(|asked| asked == function);
    match rule.fault {
        Fault::LoseDisconnect | Fault::LateDisconnect => {
            Some(names.disconnect.iter().filter(|function| is_asked(function)).map(|_| "$disconnect").collect())
        }
        Fault::DropSocket => Some(vec!["Frame"]),
        Fault::FailInvoke => Some(vec!["Invoke"]),
        Fault::RepeatDelivery => {
            let fed = names.fed.iter().filter(|(function, _)| is_asked(function));
            Some(fed.map(|(_, queue)| queue.as_str()).collect())
        }
        Fault::ReorderDelivery => {
            Some(names.queues.iter().filter(|(_, fifo)| !fifo).map(|(name, _)| name.as_str()).collect())
        }
        Fault::FailBefore
        | Fault::LoseAnswer
        | Fault::Throttle
        | Fault::ServerError
        | Fault::Conflict
        | Fault::Partial
        | Fault::KillBefore
        | Fault::KillAfter
        | Fault::GoneThoughDelivered
        | Fault::AcceptedThoughDead => None,
    }
}

fn check_elsewhere(rule: &Rule, places: &[&str]) -> Result<(), String> {
    let fault = rule.fault;
    if rule.service.is_some() {
        return Err(format!("{fault} strikes no request to a service: leave `service` out"));
    }
    if rule.function.is_some() && matches!(fault, Fault::DropSocket | Fault::ReorderDelivery) {
        return Err(format!("{fault} strikes whatever the function: leave `function` out"));
    }
    if places.is_empty() {
        let function = rule.function.as_deref().unwrap_or("any function");
        let reason = if fault == Fault::RepeatDelivery { "no queue feeds it" } else { "it gets no such event" };
        return Err(format!("{fault} never strikes {function}: {reason}"));
    }
    match rule.operation.as_deref() {
        Some(operation) if !places.contains(&operation) => {
            Err(format!("{fault} never strikes {operation:?}; `operation` can be {}", either(places)))
        }
        _ => Ok(()),
    }
}

fn check_request(rule: &Rule, names: &Names) -> Result<(), String> {
    let fault = rule.fault;
    let is_asked = |called: &&Called| rule.service.as_deref().is_none_or(|service| called.service == service);
    let asked: Vec<&Called> = names.services.iter().filter(is_asked).collect();
    let strikes = |called: &Called| -> Vec<&'static str> {
        called.operations.iter().filter(|(_, faults)| faults.contains(&fault)).map(|(name, _)| *name).collect()
    };
    if let Some(operation) = rule.operation.as_deref() {
        let mut known = asked.iter().flat_map(|called| called.operations.iter().map(|(name, _)| *name));
        if !known.any(|name| name == operation) {
            let known = asked.iter().flat_map(|called| called.operations.iter().map(|(name, _)| *name));
            return Err(no_such("operation", operation, known));
        }
        if asked.iter().any(|called| strikes(called).contains(&operation)) {
            return Ok(());
        }
    } else if asked.iter().any(|called| !strikes(called).is_empty()) {
        return Ok(());
    }
    let struck = names.services.iter().filter_map(|called| match strikes(called) {
        none if none.is_empty() => None,
        some => Some(format!("{} of {}", some.join(", "), called.service)),
    });
    let named: Vec<&str> = [rule.service.as_deref(), rule.operation.as_deref()].into_iter().flatten().collect();
    Err(format!("{fault} never strikes {}; it strikes {}", named.join(" "), struck.collect::<Vec<_>>().join("; ")))
}

fn either(places: &[&str]) -> String {
    if places.is_empty() { "nothing here".to_owned() } else { places.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let write = [&Fault::OF_REQUESTS[..], &[Fault::Conflict]].concat();
        let batch = [&Fault::OF_REQUESTS[..], &[Fault::Partial]].concat();
        let plain = Fault::OF_REQUESTS.to_vec();
        Names {
            functions: ["F", "Idle"].map(str::to_owned).to_vec(),
            fed: ["q", "q.fifo"].map(|queue| ("F".to_owned(), queue.to_owned())).to_vec(),
            disconnect: Some("F".to_owned()),
            services: vec![
                Called { service: "dynamodb", operations: vec![("PutItem", write), ("Query", plain.clone())] },
                Called { service: "sqs", operations: vec![("SendMessageBatch", batch), ("SendMessage", plain)] },
            ],
            queues: vec![("q".to_owned(), false), ("q.fifo".to_owned(), true)],
        }
    }

    #[test]
    fn rules_that_can_strike_are_taken() {
        for rule in [
            Rule::new(Fault::Throttle),
            Rule::new(Fault::Throttle).service("sqs"),
            Rule::new(Fault::Throttle).function("F").operation("Query"),
            Rule::new(Fault::Conflict),
            Rule::new(Fault::Conflict).service("dynamodb").operation("PutItem"),
            Rule::new(Fault::Partial).operation("SendMessageBatch"),
            Rule::new(Fault::FailInvoke).function("F").operation("Invoke"),
            Rule::new(Fault::LoseDisconnect).function("F").operation("$disconnect"),
            Rule::new(Fault::DropSocket).operation("Frame"),
            Rule::new(Fault::RepeatDelivery).function("F").operation("q.fifo"),
            Rule::new(Fault::ReorderDelivery).operation("q"),
        ] {
            assert_eq!(check(&rule, &names()), Ok(()), "{rule:?}");
        }
    }

    #[test]
    fn rules_that_can_never_strike_are_refused() {
        for (rule, reason) in [
            (Rule::new(Fault::Throttle).times(0), "times is 0"),
            (Rule::new(Fault::Throttle).function("G"), "there is no function \"G\"; there are F, Idle"),
            (Rule::new(Fault::Throttle).service("s3"), "there is no service \"s3\"; there are dynamodb, sqs"),
            (Rule::new(Fault::Conflict).service("sqs"), "conflict never strikes sqs; it strikes PutItem of dynamodb"),
            (Rule::new(Fault::Partial).service("dynamodb"), "partial never strikes dynamodb; it strikes"),
            (Rule::new(Fault::Conflict).operation("Query"), "conflict never strikes Query"),
            (
                Rule::new(Fault::Throttle).operation("PutItems"),
                "there is no operation \"PutItems\"; there are PutItem,",
            ),
            (Rule::new(Fault::Throttle).service("sqs").operation("PutItem"), "there is no operation \"PutItem\""),
            (Rule::new(Fault::GoneThoughDelivered).service("sqs"), "gone-though-delivered never strikes sqs"),
            (Rule::new(Fault::FailInvoke).service("sqs"), "leave `service` out"),
            (Rule::new(Fault::FailInvoke).operation("PutItem"), "`operation` can be Invoke"),
            (Rule::new(Fault::DropSocket).function("F"), "leave `function` out"),
            (Rule::new(Fault::ReorderDelivery).operation("q.fifo"), "`operation` can be q"),
            (Rule::new(Fault::RepeatDelivery).operation("other"), "`operation` can be q, q.fifo"),
            (
                Rule::new(Fault::RepeatDelivery).function("Idle"),
                "repeat-delivery never strikes Idle: no queue feeds it",
            ),
            (
                Rule::new(Fault::LateDisconnect).function("Idle"),
                "late-disconnect never strikes Idle: it gets no such event",
            ),
        ] {
            let refused = check(&rule, &names()).unwrap_err();
            assert!(refused.contains(reason), "{rule:?}: {refused}");
        }
    }
}
