//! A backend against an HTTP server on port 0 that answers once, as the test prescribes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::json;
use tidings_client::{ApiError, Backend};
use tidings_wire::{Content, Preferences, SendRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers the next request and returns it.
async fn answer(listener: TcpListener, status: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let expected = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= expected.map_or(0, |length| length.parse().unwrap()) {
            break;
        }
    }
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

async fn listening() -> (TcpListener, Backend) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = Backend::new(&format!("http://{}/", listener.local_addr().unwrap()), "td_demo.key").unwrap();
    (listener, backend)
}

fn hello() -> SendRequest {
    SendRequest {
        audiences: vec!["alice".to_owned()],
        content: Content { alert: Some("Hello".to_owned()), ..Content::default() },
        ..SendRequest::default()
    }
}

#[tokio::test]
async fn sends_with_its_key_and_reads_the_answer() {
    let (listener, backend) = listening().await;
    let body = json!({"requestId": "m-1", "recipients": 1, "ttl": 60, "priority": "high"}).to_string();
    let hello = hello();
    let (request, sent) = tokio::join!(answer(listener, "202 Accepted", &body), backend.send(&hello, Some("order-7")));
    assert_eq!(sent.unwrap().request_id, "m-1");
    assert!(request.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{request}");
    for line in ["authorization: Bearer td_demo.key", "idempotency-key: order-7", "content-type: application/json"] {
        assert!(request.contains(line), "{request}");
    }
    assert!(request.ends_with(r#"{"audiences":["alice"],"alert":"Hello"}"#), "{request}");
}

#[tokio::test]
async fn a_problem_keeps_its_code_and_detail() {
    let (listener, backend) = listening().await;
    let body = json!({"status": 401, "code": "app_key_unknown", "title": "Unauthorized", "detail": "…"}).to_string();
    let (request, trail) = tokio::join!(answer(listener, "401 Unauthorized", &body), backend.trail("a b"));
    assert!(request.starts_with("GET /v1/messages/a%20b HTTP/1.1\r\n"), "{request}");
    let error = trail.unwrap_err();
    assert!(!error.is_retryable());
    assert!(matches!(error, ApiError::Problem(problem) if problem.code == "app_key_unknown"));
}

#[tokio::test]
async fn a_name_that_no_path_carries_is_refused_and_nothing_is_asked() {
    // The port is closed: every request ends as unreachable.
    let backend = Backend::new("http://127.0.0.1:1", "td_demo.key").unwrap();
    let wanted = Preferences::default();
    for name in ["a/b", "a?b", "50%", ".", "..", ""] {
        let errors = [
            ("alias", backend.preferences(name, None).await.unwrap_err()),
            ("alias", backend.set_preferences(name, Some("acme"), &wanted).await.unwrap_err()),
            ("item", backend.item(name, None).await.unwrap_err()),
            ("item", backend.set_item(name, None, false).await.unwrap_err()),
            ("deviceId", backend.device(name).await.unwrap_err()),
            ("deviceId", backend.unregister(name).await.unwrap_err()),
            ("requestId", backend.trail(name).await.unwrap_err()),
            ("requestId", backend.cancel(name).await.unwrap_err()),
            ("requestId", backend.announcement(name).await.unwrap_err()),
            ("requestId", backend.withdraw(name).await.unwrap_err()),
        ];
        for (expected, error) in errors {
            assert!(!error.is_retryable());
            let ApiError::BadName { field, detail } = error else { panic!("{name}: {error}") };
            assert_eq!(field, expected);
            assert!(name.is_empty() || detail.ends_with("paths do not carry such a name"), "{detail}");
        }
    }
}

#[tokio::test]
async fn what_is_not_of_tidings_is_shown_as_it_is() {
    let (listener, backend) = listening().await;
    let (_, device) =
        tokio::join!(answer(listener, "502 Bad Gateway", "<html>no upstream"), backend.unregister("device-1"));
    let error = device.unwrap_err();
    assert!(error.is_retryable());
    assert!(error.to_string().contains("502 Bad Gateway") && error.to_string().ends_with("<html>no upstream"));
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let (listener, backend) = listening().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = backend.send(&hello(), None).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }) && error.is_retryable());
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot reach http://{address}/v1/messages: ")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}
