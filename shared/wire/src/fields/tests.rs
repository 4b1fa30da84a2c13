use super::*;

#[test]
fn names_every_field_that_is_wrong() {
    let object = serde_json::json!({"a": 1, "b": "", "c": "xxx", "lists": ["ok", 2], "audience": [], "d": null});
    let mut fields = Fields::new(object.as_object().unwrap().clone());
    assert_eq!(fields.text("a", 2), None);
    assert_eq!(fields.text("b", 2), None);
    assert_eq!(fields.text("c", 2), None);
    assert_eq!(fields.required_text("d", 2), "");
    assert_eq!(fields.names("lists", 2, 2), Some(vec!["ok".to_owned()]));
    assert_eq!(fields.names("audiences", 2, 2), None);
    let problems: Vec<_> = fields.into_problems().into_iter().map(|p| format!("{} {}", p.field, p.detail)).collect();
    assert_eq!(
        problems,
        [
            "a must be a text",
            "b must not be empty",
            "c has 3 characters; the limit is 2",
            "d is required",
            "lists[1] must be a text",
            "audience is not a field of this request; did you mean `audiences`?",
        ]
    );
}

fn named(fields: Fields) -> Vec<String> {
    fields.into_problems().into_iter().map(|problem| format!("{} {}", problem.field, problem.detail)).collect()
}

fn query(pairs: &[(&str, &str)]) -> Fields {
    Fields::of_query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn a_query_names_what_is_not_known_and_what_is_given_twice() {
    let twice = query(&[("tenantCode", "x"), ("tenantCode", "y"), ("tenantCode", "z"), ("a", "1")]);
    assert_eq!(
        named(twice),
        ["tenantCode is given twice", "a is not a field of this request", "tenantCode is not a field of this request"]
    );
    let mut fields = query(&[("tenantCode", "x"), ("tenantCode", "x"), ("tenantcode", "x")]);
    assert_eq!(fields.name("tenantCode", 64), Some("x".to_owned()));
    assert_eq!(
        named(fields),
        ["tenantCode is given twice", "tenantcode is not a field of this request; did you mean `tenantCode`?"]
    );
    assert_eq!(named(query(&[])), Vec::<String>::new());
}

#[test]
fn what_others_call_a_field_is_answered_with_its_name_here() {
    let object = |name: &str| Map::from_iter([(name.to_owned(), Value::from("x"))]);
    let problem = |name: &str| {
        let mut fields = Fields::new(object(name)).with_synonyms(&[("timetolive", "the seconds are `ttl`")]);
        fields.text("collapseKey", 64);
        fields.text("ttl", 64);
        named(fields).remove(0)
    };
    for name in ["time_to_live", "TimeToLive", "time-to-live", "timeToLive"] {
        assert_eq!(problem(name), format!("{name} is not a field of this request; the seconds are `ttl`"));
    }
    for name in ["collapse_key", "collapse-key", "CollapseKey", "collapseKeys"] {
        assert_eq!(problem(name), format!("{name} is not a field of this request; did you mean `collapseKey`?"));
    }
    assert_eq!(problem("hue"), "hue is not a field of this request");
}

#[test]
fn of_many_problems_the_first_twenty_are_named() {
    let problems: Vec<_> = (0..1_000).map(|n| FieldProblem::new(format!("audiences[{n}]"), "must be a text")).collect();
    let (first, more) = FieldProblem::named(&problems);
    assert_eq!((first.len(), more), (20, 980));
    assert_eq!(FieldProblem::named(&problems[..20]), (&problems[..20], 0));
    assert_eq!(FieldProblem::summary(&problems), "`audiences[0]` must be a text; and 999 more");
    assert_eq!(FieldProblem::new("é".repeat(300), "x").field, "é".repeat(limits::PROBLEM_FIELD_CHARS));
}
