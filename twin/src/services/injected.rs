//! Faults at the calls of functions to AWS: the request is refused, or its answer lost, or its caller killed.
//!
//! A refusal is worded as by the real service, so that SDKs classify it in the same way. A lost answer is a connection
//! that ends without one: SDKs count that as transient, and retry.

use std::borrow::Cow;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use futures_util::stream;

use super::call::{Call, Next, Refused, Request};
use crate::faults::{Fault, Faults, Site, Strike};
use crate::functions::{Caller, Functions};
use crate::gateway::percent_decode;
use crate::service::Service;

/// The fault that strikes a call of a function, if one does.
pub(super) fn strike(faults: &Faults, caller: &Caller, call: &Call, service: Service) -> Option<Strike> {
    if !faults.armed() {
        return None;
    }
    let site = Site {
        function: Some(&caller.function),
        service: Some(service.name()),
        operation: &call.operation,
        text: text_of(&call.request),
    };
    faults.strike(&site, &service.faults(&call.operation))
}

/// Carries out a fault at a call.
pub(super) async fn carry_out(
    Strike { fault, chance }: Strike,
    functions: &Functions,
    call: Call,
    next: Next<'_>,
) -> Response {
    let key = call.request.access_key_id().unwrap_or_default().to_owned();
    match fault {
        Fault::FailBefore => unanswered(),
        Fault::LoseAnswer => {
            next.run(call).await;
            unanswered()
        }
        Fault::KillBefore => {
            functions.kill(&key).await;
            unanswered()
        }
        Fault::KillAfter => {
            next.run(call).await;
            functions.kill(&key).await;
            unanswered()
        }
        Fault::Throttle => next.service.refusal(Refused::Throttled { chance }, &call),
        Fault::ServerError => next.service.refusal(Refused::Failed, &call),
        Fault::Conflict | Fault::Partial | Fault::GoneThoughDelivered | Fault::AcceptedThoughDead => {
            next.service.struck(fault, call, next).await
        }
        Fault::LoseDisconnect
        | Fault::LateDisconnect
        | Fault::DropSocket
        | Fault::RepeatDelivery
        | Fault::ReorderDelivery
        | Fault::FailInvoke => next.run(call).await,
    }
}

/// The texts that a rule may search: path and body, and both as their reader decodes them.
fn text_of(request: &Request) -> Vec<Cow<'_, str>> {
    let path = request.uri.path();
    let mut text = vec![path.into(), percent_decode(path, false).into(), String::from_utf8_lossy(&request.body)];
    let kind = request.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        text.push(percent_decode(&String::from_utf8_lossy(&request.body), true).into());
    }
    text
}

/// An answer that ends the connection before its first byte.
fn unanswered() -> Response {
    // The server writes the head of a response together with the first part of its body. If that is an error, it closes
    // the connection before it has written anything.
    let broken = io::Error::other("no answer, as asked for");
    Response::new(Body::from_stream(stream::once(std::future::ready(Err::<Bytes, _>(broken)))))
}
