use super::*;

fn nested(levels: usize) -> String {
    // The outer object is the first level.
    format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
}

#[test]
fn reads_64_levels_and_refuses_65() {
    assert!(object(nested(64).as_bytes()).is_ok());
    assert_eq!(object(nested(65).as_bytes()), Err(JsonError::TooDeep));
}

#[test]
fn does_not_count_brackets_in_strings() {
    let body = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
    assert!(object(body.as_bytes()).is_ok());
}

#[test]
fn names_the_place_of_a_syntax_error() {
    assert_eq!(object(b"{\n  nope}"), Err(JsonError::Syntax { line: 2, column: 3 }));
    assert_eq!(object(b"[]"), Err(JsonError::NotAnObject));
}

#[test]
fn names_a_byte_order_mark() {
    let problem = |body: &[u8]| object(body).unwrap_err().to_string();
    for body in [&b"\xef\xbb\xbf{}"[..], b"\xef\xbb\xbf", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":1}"] {
        assert_eq!(problem(body), "the body begins with a byte order mark (U+FEFF)");
    }
    for body in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
        assert_eq!(problem(body), "the body begins with the byte order mark of UTF-16; it has to be UTF-8");
    }
    // Elsewhere it is a character: of a text, or one that JSON does not have there.
    assert!(object("{\"a\":\"\u{feff}\"}".as_bytes()).is_ok());
    assert_eq!(object("{\u{feff}}".as_bytes()), Err(JsonError::Syntax { line: 1, column: 2 }));
}

#[test]
fn refuses_one_byte_more_than_the_limit() {
    let fill = limits::HTTP_BODY_BYTES - "{\"a\":\"\"}".len();
    assert!(object(format!("{{\"a\":\"{}\"}}", "x".repeat(fill)).as_bytes()).is_ok());
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(fill + 1));
    assert_eq!(object(body.as_bytes()), Err(JsonError::TooLarge { bytes: limits::HTTP_BODY_BYTES + 1 }));
}

fn problems(body: &str) -> Vec<String> {
    match object(body.as_bytes()) {
        Err(JsonError::Fields(problems)) => {
            problems.into_iter().map(|problem| format!("{} {}", problem.field, problem.detail)).collect()
        }
        other => panic!("{} bytes: {other:?}", body.len()),
    }
}

#[test]
fn what_is_given_twice_is_named_at_every_depth() {
    for (body, named) in [
        (r#"{"a":1,"a":2}"#, &["a"][..]),
        (r#"{"a":1,"a":1}"#, &["a"]),
        (r#"{"a":1,"\u0061":2}"#, &["a"]),
        (r#"{"a":null,"b":[],"a":{}}"#, &["a"]),
        (r#"{"a":1,"a":2,"a":3}"#, &["a"]),
        (r#"{"a":1,"b":2,"a":3,"b":4}"#, &["a", "b"]),
        (r#"{"fallback":[{"channel":"sms"},{"channel":"sms","channel":"email"}]}"#, &["fallback[1].channel"]),
        (r#"{ "quietHours" : { "from" : "22:00" , "to":"23:00" , "from" : "21:00" } }"#, &["quietHours.from"]),
        (r#"{"extra":{"a":[[{"b":1,"b":2}]]}}"#, &["extra.a[0][0].b"]),
        (r#"{"":1,"":2}"#, &[""]),
        (r#"{"a\"}":1,"b":"}\",{","a\"}":2}"#, &["a\"}"]),
    ] {
        let named: Vec<_> = named.iter().map(|name| format!("{name} is given twice")).collect();
        assert_eq!(problems(body), named, "{body}");
    }
    for body in
        [r#"{"a":{"b":1},"b":{"a":1}}"#, r#"{"a":[{"b":1},{"b":1}]}"#, r#"{"a":"a","A":"a"}"#, "{ }", r#"{"a":[]}"#]
    {
        assert!(object(body.as_bytes()).is_ok(), "{body}");
    }
}

#[test]
fn numbers_of_extra_arrive_as_they_were_sent_or_are_named() {
    for good in [
        "0",
        "-0",
        "-0.0",
        "0e999",
        "1",
        "-1.50",
        "1e2",
        "0.1",
        "0.30000000000000004",
        "123456789012345",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740992",
        "1e20",
        "100000000000000000000",
        "1.7976931348623157e308",
        "5e-324",
        "12345.67890e-3",
    ] {
        let sent = format!("{{\"extra\":{{\"n\":{good}}}}}");
        let read = object(sent.as_bytes()).unwrap_or_else(|error| panic!("{good}: {error}"));
        let arrived = serde_json::to_string(&read["extra"]["n"]).unwrap();
        assert_eq!(arrived.parse::<f64>().unwrap().to_bits(), good.parse::<f64>().unwrap().to_bits(), "{good}");
        // And so it does at a client of JavaScript, which reads every number as a double.
        assert_eq!(arrived.parse::<f64>().unwrap(), read["extra"]["n"].as_f64().unwrap(), "{good}");
    }
    for bad in [
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "12345678901234567890123",
        "0.12345678901234567890",
        "1.00000000000000000001",
        "0.10000000000000001",
        "1e-400",
        "-2e-324",
        "9007199254740993.0",
        "9007199254740993e0",
    ] {
        let found = problems(&format!("{{\"extra\":{{\"n\":[{bad}]}}}}"));
        assert!(found.len() == 1 && found[0].starts_with("extra.n[0] is a number that would arrive as "), "{found:?}");
    }
    for beyond in ["1e309", "-1e400", "1e99999999999999999999"] {
        let found = problems(&format!("{{\"extra\":{beyond}}}"));
        assert!(found.len() == 1 && found[0].starts_with("extra is a number beyond 1.8e308"), "{found:?}");
        let found = problems(&format!("{{\"ttl\":{beyond}}}"));
        assert!(found.len() == 1 && found[0].starts_with("ttl is a number beyond 1.8e308"), "{found:?}");
    }
    // The fields that the service reads have other limits, and an `extra` within it is not the app's.
    let read = object(br#"{"seq":18446744073709551615,"source":{"extra":9007199254740993}}"#).unwrap();
    assert_eq!(read["seq"], u64::MAX);
    assert!(problems(r#"{"extra":9007199254740993}"#)[0].ends_with("give it as a text"));
}

#[test]
fn what_is_no_json_stays_so_however_it_goes_on() {
    for body in [
        &b""[..],
        b"{",
        b"{\"a\":1,\"a\"",
        b"{\"a\":1,\"a\":2",
        b"{\"a\":01}",
        b"{\"a\":1e}",
        b"{\"a\":\"\xff\"}",
        b"{\"\xff\":1}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":1}}",
        b" \xef\xbb\xbf{}",
    ] {
        assert!(matches!(object(body), Err(JsonError::Syntax { .. })), "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(object(b"[1e999]"), Err(JsonError::NotAnObject));
}

#[test]
fn a_name_that_is_given_twice_is_shown_in_part() {
    let name = "n".repeat(10_000);
    let found = problems(&format!("{{\"{name}\":1,\"{name}\":2}}"));
    assert_eq!(found, [format!("{} is given twice", "n".repeat(64))]);
    let deep = format!("{{\"x\":{}1{},\"x\":1}}", format!("{{\"{}\":", "n".repeat(1_000)).repeat(60), "}".repeat(60));
    assert_eq!(problems(&deep), ["x is given twice"]);
    let inner = format!(
        "{{\"n\":{}{{\"a\":1,\"a\":2}}{}}}",
        format!("{{\"{}\":", "n".repeat(1_000)).repeat(60),
        "}".repeat(60)
    );
    assert_eq!(problems(&inner)[0].chars().count(), limits::PROBLEM_FIELD_CHARS + " is given twice".len());
}
