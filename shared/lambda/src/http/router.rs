//! The router of an HTTP function, and the edge that every request passes.

use axum::{
    Json, Router,
    extract::{MatchedPath, Request},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambda_runtime::{LambdaEvent, service_fn};
use tidings_wire::Problem;
use tower_service::Service as _;

use super::{
    error::ApiError,
    event::{HttpAnswer, HttpEvent},
    extract::Invocation,
};
use crate::{Error, logs};

/// Serves a router until the process ends: problems get the request's id, faults are logged once, unknown routes and methods
/// are problems too.
///
/// # Errors
/// If the Runtime API cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    let router = complete(router);
    // Boxed: below it lie the SDK's futures, deeper than the compiler lays out in one.
    let handle = |event: LambdaEvent<HttpEvent>| {
        let (event, context) = event.into_parts();
        let invocation = Invocation { request_id: context.request_id, trace: context.xray_trace_id };
        Box::pin(answer(router.clone(), event, invocation))
    };
    lambda_runtime::run(service_fn(handle)).await
}

/// What a router answers to an event.
///
/// # Errors
/// If the response cannot be read.
async fn answer(mut router: Router, event: HttpEvent, invocation: Invocation) -> Result<HttpAnswer, Error> {
    let is_head = event.is_head();
    let Ok(response) = router.call(event.into_request(invocation)).await;
    Ok(HttpAnswer::of(response, is_head).await?)
}

/// A router with everything that every HTTP function has.
fn complete(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The limit is ours, so that its answer is a problem; API Gateway and Lambda have theirs before it.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn(edge))
}

async fn edge(request: Request, next: Next) -> Response {
    let invocation = request.extensions().get::<Invocation>().cloned().unwrap_or_default();
    // The route, not the path: what a client writes there may be anything, a token or an address too.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let request_id = invocation.request_id;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let cause = response.extensions_mut().remove::<std::sync::Arc<ApiError>>();
        let error = cause.map_or_else(String::new, |error| logs::chain(&*error));
        if status >= 500 {
            tracing::error!(%method, path, status, code = problem.code, request_id, error, "request failed");
        } else {
            tracing::info!(%method, path, status, code = problem.code, request_id, "request refused");
        }
        let headers = std::mem::take(response.headers_mut());
        let problem = Problem { request_id: Some(request_id), ..problem };
        response = (response.status(), Json(problem)).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response
            .headers_mut()
            .extend(headers.into_iter().filter(|(name, _)| name.as_ref() != Some(&header::CONTENT_LENGTH)));
    } else {
        tracing::info!(%method, path, status, request_id, "request served");
    }
    response
}

#[cfg(test)]
mod tests;
