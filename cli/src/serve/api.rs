//! The requests that the service answers.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use seqrec::data::{ExternalId, Interaction, Seen};
use seqrec::engine::{Observed, RecallEngine};
use seqrec::recall::RecallRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::sync::Semaphore;

use super::metrics::{Metrics, Outcome};
use super::named::Named;
use super::new_items::new_items;
use super::page::page;
use super::refusal::{JSON, Refusal, allowed, not_allowed, parse, refusal};
use super::titles::Titles;

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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 256 * 1024,
            concurrent: 64,
            events: 1_000,
            time: Duration::from_secs(10),
        }
    }
}

/// What all requests share.
pub struct Service {
    pub(super) engine: Arc<RecallEngine>,
    titles: RwLock<Titles>,
    metrics: Metrics,
    limits: Limits,
    calls: Arc<Semaphore>,
    /// The turn of the one request that adds items.
    pub(super) adding: Arc<Semaphore>,
}

impl Service {
    pub fn new(engine: Arc<RecallEngine>, titles: Titles, limits: Limits) -> Self {
        Self {
            metrics: Metrics::new(engine.clone()),
            titles: RwLock::new(titles),
            adding: Arc::new(Semaphore::new(1)),
            calls: Arc::new(Semaphore::new(limits.concurrent)),
            engine,
            limits,
        }
    }

    fn titles(&self) -> RwLockReadGuard<'_, Titles> {
        self.titles.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn titles_mut(&self) -> RwLockWriteGuard<'_, Titles> {
        self.titles.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service as a whole.
pub fn router(service: Service) -> Router {
    let service = Arc::new(service);
    Router::new()
        .route("/", get(page))
        .route("/titles", post(titles))
        .route("/history", post(history))
        .route("/recall", post(recall))
        .route("/events", post(events))
        .route("/items", post(new_items))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(service.clone(), watch))
        .layer(DefaultBodyLimit::max(service.limits.body))
        .with_state(service)
}

/// Ends what takes too long, and counts all.
async fn watch(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    // Whatever a caller thinks of must not become a series of its own.
    let path = allowed(request.uri().path()).map_or("other", |_| request.uri().path());
    let path = path.to_owned();
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallBody {
    user: Option<ExternalId>,
    history: Option<Vec<Taken>>,
    k: usize,
    #[serde(default)]
    segments: Vec<String>,
    /// Of the user, by name.
    features: Option<Named<f32>>,
    #[serde(default)]
    blocked: Vec<ExternalId>,
    /// The only items that may be recalled.
    only: Option<Vec<ExternalId>>,
    /// A filter of the items' attributes, such as `in_stock and price < 20`.
    filter: Option<String>,
    #[serde(default)]
    keep_seen: bool,
}

/// An item of a history: its id, or its id and when and by what event it was taken.
struct Taken {
    item: ExternalId,
    time: Option<f64>,
    event: Option<String>,
    value: Option<f32>,
}

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, since an untagged enum says no more than that no variant fits.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Told {
            item: ExternalId,
            time: Option<f64>,
            event: Option<String>,
            value: Option<f32>,
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        let read = if value.is_object() {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(|item| Told {
                item,
                time: None,
                event: None,
                value: None,
            })
        };
        let told = read.map(|told| Self {
            item: told.item,
            time: told.time,
            event: told.event,
            value: told.value,
        });
        told.map_err(D::Error::custom)
    }
}

/// A request for a history, whose items must all have a time or none.
fn of_history(history: Vec<Taken>, k: usize) -> Result<RecallRequest, Refusal> {
    let has_event = |taken: &Taken| taken.event.is_some() || taken.value.is_some();
    let events = history.iter().any(has_event).then(|| {
        let events = history.iter();
        let events = events.map(|taken| (taken.event.clone(), taken.value));
        events.collect::<Vec<_>>()
    });
    let request = of_items(history, k)?;
    Ok(match events {
        Some(events) => request.with_events(events),
        None => request,
    })
}

fn of_items(history: Vec<Taken>, k: usize) -> Result<RecallRequest, Refusal> {
    let timed: Option<Vec<(ExternalId, f64)>> = (history.iter())
        .map(|taken| Some((taken.item.clone(), taken.time?)))
        .collect();
    match timed {
        Some(timed) if !timed.is_empty() => Ok(RecallRequest::for_timed_history(timed, k)),
        _ if history.iter().any(|taken| taken.time.is_some()) => {
            let reason = "some items of the history have a time, and others none";
            Err(refusal(StatusCode::BAD_REQUEST, reason))
        }
        _ => Ok(RecallRequest::for_history(
            history.into_iter().map(|taken| taken.item),
            k,
        )),
    }
}

async fn recall(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body: RecallBody = parse(body)?;
    let request = match (body.user, body.history) {
        (Some(_), Some(_)) => {
            let reason = "the body has a user and a history, of which one would not be looked at";
            return Err(refusal(StatusCode::BAD_REQUEST, reason));
        }
        (None, Some(history)) => of_history(history, body.k)?,
        (Some(user), None) => RecallRequest::for_user(user, body.k),
        (None, None) => {
            let reason = "the body has neither a user nor a history";
            return Err(refusal(StatusCode::BAD_REQUEST, reason));
        }
    };
    let mut request = request.in_segments(body.segments).blocked(body.blocked);
    if let Some(Named(features)) = body.features {
        request = request.with_features(features);
    }
    if let Some(only) = body.only {
        request = request.only(only);
    }
    if let Some(filter) = body.filter {
        let filter = filter.parse();
        request = request.matching(filter.map_err(|e| refusal(StatusCode::BAD_REQUEST, e))?);
    }
    if body.keep_seen {
        request = request.seen(Seen::Keep);
    }
    let Ok(call) = service.calls.clone().try_acquire_owned() else {
        let reason = "too many calls are under way";
        return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, reason));
    };
    let engine = service.engine.clone();
    // The engine waits for its channels, which no thread of the runtime may do. It goes on when the
    // client is gone or the time is up, and so does the call.
    let recalled = tokio::task::spawn_blocking(move || {
        let _call = call;
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
struct HistoryBody {
    user: ExternalId,
}

/// What channels see of a user, and how many items they see at most.
async fn history(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let HistoryBody { user } = parse(body)?;
    let history =
        (service.engine.history(user)).map_err(|error| refusal(StatusCode::BAD_REQUEST, error))?;
    let item = |(item, time)| json!({ "item": item, "time": time });
    let history: Vec<_> = history.into_iter().map(item).collect();
    let most = service.engine.settings().history;
    let body = json!({ "history": history, "most": most });
    Ok((JSON, body.to_string()).into_response())
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
    /// In the unit of the folder's data; now where it is not given.
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
    let now = service.engine.time_unit().now();
    let events: Vec<(Interaction, Vec<String>)> = (events.into_iter())
        .map(|event| {
            let time = event.time.unwrap_or(now);
            let mut interaction = Interaction::new(event.user, event.item, time);
            (interaction.value, interaction.event) = (event.value, event.event);
            (interaction, event.segments)
        })
        .collect();
    let observed = (service.engine.observe_all(&events))
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, error))?;
    let count = |of: Observed| observed.iter().filter(|&&observed| observed == of).count();
    let body = json!({
        "accepted": count(Observed::Taken),
        "repeated": count(Observed::Repeated),
        "older": count(Observed::Older),
        "unknown": count(Observed::Unknown),
        "ignored": count(Observed::Ignored),
    });
    Ok((JSON, body.to_string()).into_response())
}

/// Which titles are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TitlesBody {
    /// Those of these items.
    Ids(Vec<ExternalId>),
    /// Some that hold this text, in capitals or not.
    Find(String),
}

/// How many titles are found at most.
const FOUND: usize = 10;

async fn titles(
    State(service): State<Arc<Service>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let asked = parse(body)?;
    let titles = service.titles();
    let ids: Vec<&ExternalId> = match &asked {
        TitlesBody::Ids(ids) => ids.iter().collect(),
        TitlesBody::Find(text) => titles.find(text, FOUND),
    };
    let found: Vec<_> = (ids.into_iter())
        .filter_map(|id| Some(json!({ "id": id, "title": titles.of(id)? })))
        .collect();
    Ok((JSON, json!({ "titles": found }).to_string()).into_response())
}

async fn healthz(State(service): State<Arc<Service>>) -> Response {
    let statistics = service.engine.statistics();
    let body = json!({
        "status": "ok",
        "version": statistics.version,
        "items": service.engine.items(),
        "titles": service.titles().count(),
        "time_unit": service.engine.time_unit(),
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
