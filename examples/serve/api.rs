//! The requests that the service answers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use seqrec::data::{ExternalId, Interaction};
use seqrec::engine::{RecallEngine, RecallRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::metrics::{Metrics, Outcome};

/// What bounds the service, beside what bounds the engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body: usize,
    /// How many calls may be under way.
    pub concurrent: usize,
    /// How many events may come in one request.
    pub events: usize,
    /// How long a request may take, its body's arrival included.
    pub time: Duration,
    /// How far ahead of this machine's clock an event may be, in seconds.
    pub ahead: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            concurrent: 64,
            events: 1_000,
            time: Duration::from_secs(10),
            ahead: 86_400.0,
        }
    }
}

/// What all requests share.
pub struct Service {
    engine: Arc<RecallEngine>,
    metrics: Metrics,
    limits: Limits,
    calls: Semaphore,
}

impl Service {
    pub fn new(engine: Arc<RecallEngine>, limits: Limits) -> Self {
        Self {
            metrics: Metrics::new(engine.clone()),
            calls: Semaphore::new(limits.concurrent),
            engine,
            limits,
        }
    }
}

/// The service as a whole.
pub fn router(service: Service) -> Router {
    let service = Arc::new(service);
    Router::new()
        .route("/recall", post(recall))
        .route("/events", post(events))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path has another method",
            )
        })
        .layer(from_fn_with_state(service.clone(), watch))
        .layer(DefaultBodyLimit::max(service.limits.body))
        .with_state(service)
}

/// Ends what takes too long, and counts all.
async fn watch(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = match request.uri().path() {
        path @ ("/recall" | "/events" | "/healthz" | "/metrics") => path.to_owned(),
        // Whatever a caller thinks of must not become a series of its own.
        _ => "other".to_owned(),
    };
    let answered = tokio::time::timeout(service.limits.time, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
    });
    let status = response.status().as_u16();
    service
        .metrics
        .count(Outcome { path, status }, start.elapsed());
    response
}

/// An answer that says what was wrong.
struct Refusal {
    status: StatusCode,
    error: String,
}

fn refusal(status: StatusCode, error: impl ToString) -> Refusal {
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

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// Reads a body as JSON, whatever it calls itself.
fn parse<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallBody {
    user: Option<ExternalId>,
    history: Option<Vec<ExternalId>>,
    k: usize,
    #[serde(default)]
    segments: Vec<String>,
    #[serde(default)]
    blocked: Vec<ExternalId>,
    #[serde(default)]
    keep_seen: bool,
}

async fn recall(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body: RecallBody = parse(body)?;
    let request = match (body.user, body.history) {
        (_, Some(history)) => RecallRequest::of_history(history, body.k),
        (Some(user), None) => RecallRequest::of_user(user, body.k),
        (None, None) => {
            let reason = "the body has neither a user nor a history";
            return Err(refusal(StatusCode::BAD_REQUEST, reason));
        }
    };
    let mut request = request.in_segments(body.segments).blocked(body.blocked);
    if body.keep_seen {
        request = request.keep_seen();
    }
    let Ok(_call) = service.calls.try_acquire() else {
        let reason = "too many calls are under way";
        return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, reason));
    };
    let engine = service.engine.clone();
    // The engine waits for its channels, which no thread of the runtime may do.
    let recalled = tokio::task::spawn_blocking(move || {
        let recalled = engine.recall_for(&request)?;
        Ok::<_, seqrec::Error>(serde_json::to_vec(&recalled))
    });
    match recalled.await {
        Ok(Ok(Ok(body))) => Ok((JSON, body).into_response()),
        Ok(Ok(Err(error))) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error)),
        Ok(Err(error)) => Err(refusal(StatusCode::BAD_REQUEST, error)),
        Err(error) => Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, error)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsBody {
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    user: ExternalId,
    item: ExternalId,
    /// Seconds; now where it is not given.
    time: Option<f64>,
    value: Option<f32>,
    event: Option<String>,
    #[serde(default)]
    segments: Vec<String>,
}

async fn events(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let EventsBody { events } = parse(body)?;
    let count = events.len();
    if count > service.limits.events {
        let most = service.limits.events;
        let reason = format!("{count} events come in one request, and {most} may");
        return Err(refusal(StatusCode::BAD_REQUEST, reason));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64());
    for (place, event) in events.into_iter().enumerate() {
        let refused = |reason: String| {
            let error = format!("event {place}: {reason}; those before it were taken");
            refusal(StatusCode::BAD_REQUEST, error)
        };
        let time = event.time.unwrap_or(now);
        if time > now + service.limits.ahead {
            return Err(refused(format!("its time, {time}, is in the future")));
        }
        let interaction = Interaction {
            user: event.user,
            item: event.item,
            time,
            value: event.value,
            event: event.event,
        };
        (service.engine.observe(&interaction, &event.segments))
            .map_err(|error| refused(error.to_string()))?;
    }
    Ok((JSON, json!({ "accepted": count }).to_string()).into_response())
}

async fn healthz(State(service): State<Arc<Service>>) -> Response {
    let statistics = service.engine.statistics();
    let body = json!({
        "status": "ok",
        "version": statistics.version,
        "items": service.engine.items(),
        "failed_reloads": statistics.failed_reloads,
    });
    (JSON, body.to_string()).into_response()
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match service.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}
