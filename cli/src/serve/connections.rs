//! Connections: only so many, none for nothing, and always room for the next.
//!
//! Whoever opens connections and says nothing, or half of something, must not keep others from
//! being answered. So a connection waits for its client for a while at most, and where there are as
//! many as there may be, or no file is left for another, those that have waited the longest are
//! closed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// What bounds connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many there are at most.
    pub connections: usize,
    /// How long one may take to send a request's head, idle time before it included.
    pub idle: Duration,
    /// How long one lives at most, so that nobody stays for ever by reading no answer.
    pub life: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 200,
            idle: Duration::from_secs(30),
            life: Duration::from_secs(600),
        }
    }
}

/// How long every connection is given before it may be closed for another.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long to wait before another try where a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers what comes in, until `stop`; then connections that wait for their clients are closed,
/// and calls that have begun are ended.
pub async fn serve(listener: TcpListener, app: Router, bounds: Bounds, stop: impl Future) {
    let connections = Arc::new(Connections::new(bounds));
    let (stopping, stopped) = watch::channel(());
    {
        let mut stop = pin!(stop);
        let mut number = 0;
        loop {
            let stream = tokio::select! {
                stream = connections.next(&listener) => stream,
                _ = &mut stop => break,
            };
            connections.begin(number, stream, app.clone(), stopped.clone());
            number += 1;
        }
    }
    drop((listener, stopped));
    connections.close_waiting(usize::MAX, Duration::ZERO);
    let _ = stopping.send(());
    // The last of them has the last receiver.
    stopping.closed().await;
}

/// The connections that are open, by number.
struct Connections {
    bounds: Bounds,
    open: Mutex<HashMap<u64, Open>>,
    freed: Notify,
}

struct Open {
    /// Since when the connection waits for its client; `None` while the service works on an answer.
    waits_since: Option<Instant>,
    task: AbortHandle,
}

impl Connections {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            open: Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection, once there is room for it.
    async fn next(&self, listener: &TcpListener) -> TcpStream {
        let mut is_told = false;
        loop {
            while self.open().len() >= self.bounds.connections.max(1) {
                self.make_room().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                // Most often no file is left, and what waits longest makes room.
                Err(error) => {
                    if !is_told {
                        eprintln!("a connection could not be accepted: {error}");
                        is_told = true;
                    }
                    self.make_room().await;
                }
            }
        }
    }

    /// Closes some of the connections that have waited the longest, and waits a moment.
    async fn make_room(&self) {
        let freed = self.freed.notified();
        self.close_waiting(self.bounds.connections.div_ceil(8), PATIENCE);
        let _ = tokio::time::timeout(PAUSE, freed).await;
    }

    /// Closes connections that have waited for their clients for `patience`, the longest first.
    fn close_waiting(&self, most: usize, patience: Duration) {
        let open = self.open();
        let mut waiting: Vec<(Instant, &AbortHandle)> = open
            .values()
            .filter_map(|open| Some((open.waits_since?, &open.task)))
            .filter(|(since, _)| since.elapsed() >= patience)
            .collect();
        waiting.sort_unstable_by_key(|&(since, _)| since);
        for (_, task) in waiting.into_iter().take(most) {
            task.abort();
        }
    }

    /// Answers a connection's requests on a task of its own.
    fn begin(
        self: &Arc<Self>,
        number: u64,
        stream: TcpStream,
        app: Router,
        stopped: watch::Receiver<()>,
    ) {
        let connection = Connection {
            number,
            all: self.clone(),
        };
        // Held until the task is among the others, so that it can't end before.
        let mut open = self.open();
        let task = tokio::spawn(Arc::new(connection).run(stream, app, stopped));
        let begun = Open {
            waits_since: Some(Instant::now()),
            task: task.abort_handle(),
        };
        open.insert(number, begun);
    }
}

/// A connection; when it is gone, there is room for another.
struct Connection {
    number: u64,
    all: Arc<Connections>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open().remove(&self.number);
        self.all.freed.notify_one();
    }
}

impl Connection {
    async fn run(
        self: Arc<Self>,
        stream: TcpStream,
        app: Router,
        mut stopped: watch::Receiver<()>,
    ) {
        let Bounds { idle, life, .. } = self.all.bounds;
        let app = TowerToHyperService::new(app);
        let service = service_fn(|request| self.clone().answer(app.clone(), request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(idle);
        let mut answered = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut life = pin!(sleep(life));
        let mut is_last = false;
        loop {
            tokio::select! {
                // Whatever a client does wrong ends its connection and nothing else.
                _ = &mut answered => return,
                () = &mut life => if is_last { return },
                _ = stopped.changed(), if !is_last => {}
            }
            // The request at hand is the last one.
            is_last = true;
            answered.as_mut().graceful_shutdown();
            life.as_mut().reset(tokio::time::Instant::now() + idle);
        }
    }

    /// Answers one request. Until it is there whole, and again once it is answered, the connection
    /// waits for its client.
    async fn answer(
        self: Arc<Self>,
        app: TowerToHyperService<Router>,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let request = request.map(|incoming| {
            if incoming.is_end_stream() {
                self.set_waiting(false);
            }
            let connection = self.clone();
            Body::new(Watched {
                incoming,
                connection,
            })
        });
        let answer = app.call(request).await;
        self.set_waiting(true);
        answer
    }

    fn set_waiting(&self, waits: bool) {
        if let Some(open) = self.all.open().get_mut(&self.number) {
            open.waits_since = waits.then(Instant::now);
        }
    }
}

/// A request's body, of which it is seen when it is there whole.
struct Watched {
    incoming: Incoming,
    connection: Arc<Connection>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.connection.set_waiting(false);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
