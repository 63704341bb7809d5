//! The page on which people ask.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// A page on which people ask, which calls the rest of this service and nothing else.
pub(super) async fn page() -> Response {
    const HEADERS: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    (HEADERS, include_str!("page.html")).into_response()
}
