//! Connections: at most 64, and one that is only held open makes room for one that asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tower_service::Service as _;

/// Connections at once.
pub(super) const MOST: usize = 64;
/// How long the head of a request may take, or a connection be idle.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head, and lines of it.
const HEAD_BYTES: usize = 32 << 10;
const HEAD_LINES: usize = 64;
/// After an error of `accept` (no descriptors left) it is left alone for so long.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections by their age, each with whether it is being answered.
#[derive(Debug, Default)]
struct Open(Mutex<BTreeMap<u64, (Arc<AtomicBool>, AbortHandle)>>);

impl Open {
    /// Makes room for one more; says no when all of them are being answered.
    fn make_room(&self) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() < MOST {
            return true;
        }
        let idle = open.iter().find(|(_, (busy, _))| !busy.load(Ordering::Relaxed)).map(|(number, _)| *number);
        let closed = idle.and_then(|number| open.remove(&number));
        closed.inspect(|(_, task)| task.abort()).is_some()
    }
}

/// Accepts connections until it is aborted.
pub(super) async fn accept(listener: TcpListener, routes: Router) {
    let open = Arc::new(Open::default());
    // Connections end with the task that accepts them.
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0_u64.. {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        if !open.make_room() {
            continue;
        }
        let busy = Arc::new(AtomicBool::new(false));
        let service = answer(routes.clone(), Arc::clone(&busy));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_LINES)
            .half_close(false);
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(service));
        let others = Arc::clone(&open);
        let task = tasks.spawn(async move {
            // A connection that breaks is the other side's affair.
            let _ = connection.await;
            others.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        });
        let mut open = open.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(number, (busy, task));
        drop(open);
    }
}

type Answer =
    std::pin::Pin<Box<dyn Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send>>;

fn answer(routes: Router, busy: Arc<AtomicBool>) -> impl Fn(http::Request<hyper::body::Incoming>) -> Answer {
    move |request| {
        let (mut routes, busy) = (routes.clone(), Arc::clone(&busy));
        Box::pin(async move {
            let streams = request.uri().path() == super::live::PATH;
            busy.store(true, Ordering::Relaxed);
            let response = routes.call(Request::from(request.map(axum::body::Body::new))).await;
            // A stream goes on after its head has been sent.
            busy.store(
                streams && response.as_ref().is_ok_and(|response| response.status().is_success()),
                Ordering::Relaxed,
            );
            response
        })
    }
}
