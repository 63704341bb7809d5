//! Bodies that are read, and requests that are refused.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// The methods of a path, if it is one of ours.
pub(super) fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/" | "/healthz" | "/metrics" => Some("GET, HEAD"),
        "/titles" | "/history" | "/recall" | "/events" | "/items" => Some("POST"),
        _ => None,
    }
}

pub(super) async fn not_allowed(uri: Uri) -> Response {
    let methods = allowed(uri.path()).unwrap_or_default();
    let reason = format!("this path takes {methods}");
    let refused = refusal(StatusCode::METHOD_NOT_ALLOWED, reason);
    ([(header::ALLOW, methods)], refused).into_response()
}

/// An answer that says what was wrong.
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
}

pub(super) fn refusal(status: StatusCode, error: impl ToString) -> Refusal {
    let error = error.to_string();
    Refusal { status, error }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error }).to_string();
        let mut response = (self.status, JSON, body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        response
    }
}

pub(super) const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// Reads a body as JSON, whatever it calls itself.
pub(super) fn parse<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| {
        let status = rejection.status();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            refusal(status, "the body is too large")
        } else {
            refusal(status, rejection.body_text())
        }
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}
