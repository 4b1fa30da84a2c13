//! The router of an HTTP function on `lambda_http`, and the layers that every request passes.

use axum::{
    Json, Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambda_http::{
    Adapter, RequestExt as _, Service as _,
    tower::{
        Layer as _,
        util::{MapRequestLayer, MapResponseLayer},
    },
};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use tidings_wire::Problem;

use super::{
    error::ApiError,
    event::{HttpEvent, Target},
    extract::Invocation,
};
use crate::{Error, logs};

/// Serves a router until the process ends. Problems get the request's id, faults are logged once, and unknown routes
/// and methods are answered with problems too.
///
/// # Errors
/// If the Runtime API cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    let router = complete(router);
    // Boxed: the SDK's futures below are nested deeper than the compiler lays out in one.
    let handle = |event: LambdaEvent<HttpEvent>| Box::pin(answer(router.clone(), event));
    lambda_runtime::run(service_fn(handle)).await
}

/// Passes an event through `lambda_http` to the router, and returns the answer.
async fn answer(router: Router, event: LambdaEvent<HttpEvent>) -> Result<impl Serialize, Error> {
    let (event, context) = event.into_parts();
    let target = event.target();
    let aimed = move |request: lambda_http::Request| aimed(request, &target);
    let router = MapResponseLayer::new(unmeasured).layer(MapRequestLayer::new(aimed).layer(router));
    let mut adapter = Adapter::from(router);
    Ok(adapter.call(LambdaEvent::new(event.into_request(), context)).await?)
}

/// The request with its URI, and with the extensions that the handlers and the layers read.
fn aimed(mut request: lambda_http::Request, target: &Target) -> lambda_http::Request {
    let invocation = request.lambda_context_ref().map_or_else(Invocation::default, |context| Invocation {
        request_id: context.request_id.clone(),
        trace: context.xray_trace_id.clone(),
    });
    *request.uri_mut() = target.uri.clone();
    request.extensions_mut().insert(target.query.clone());
    request.extensions_mut().insert(invocation);
    request
}

/// An answer without a `Content-Length`: API Gateway adds it.
fn unmeasured(mut response: Response) -> Response {
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

/// Adds the fallbacks and layers that every HTTP function has.
fn complete(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The limit is ours, so that its answer is a problem; the limits of API Gateway and Lambda come before it.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn(edge))
}

async fn edge(request: Request, next: Next) -> Response {
    let invocation = request.extensions().get::<Invocation>().cloned().unwrap_or_default();
    // The route, not the path: a client may write anything there, also a token or an address.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let request_id = invocation.request_id;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let cause = response.extensions_mut().remove::<std::sync::Arc<ApiError>>();
        let is_unreadable = cause.as_ref().is_some_and(|error| error.is_unreadable());
        let (unreadable, kind) = (is_unreadable.then_some(1), is_unreadable.then_some("item"));
        let error = cause.map_or_else(String::new, |error| logs::chain(&*error));
        if status >= 500 {
            let code = &problem.code;
            tracing::error!(%method, path, status, code, request_id, unreadable, kind, error, "request failed");
        } else {
            tracing::info!(%method, path, status, code = problem.code, request_id, "request refused");
        }
        let headers = std::mem::take(response.headers_mut());
        let problem = Problem { request_id: Some(request_id), ..problem };
        response = (response.status(), Json(problem)).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().extend(headers);
    } else {
        tracing::info!(%method, path, status, request_id, "request served");
    }
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

#[cfg(test)]
mod tests;
