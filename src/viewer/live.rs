//! What happens while it happens, as server-sent events (HTML standard, "Server-sent events").
//!
//! The store is looked at ten times a second, and only while somebody listens. A listener that reads slowly is waited
//! for: nothing piles up, it just learns later.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::App;
use super::api::parameter;
use super::reply::Failure;
use crate::store::open::Place;
use crate::store::read::live::{Changes, LiveCursor, Watch};
use crate::store::read::{Filter, Json, Reader};

pub(super) const PATH: &str = "/api/v1/live";
/// Streams at once.
pub(super) const STREAMS: usize = 16;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Without news a comment is sent after so many looks, so that a listener who has gone is noticed: 15 s.
const QUIET: u32 = 150;
/// How long a listener may leave its news lying.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body of a stream.
struct News(mpsc::Receiver<Bytes>);

impl hyper::body::Body for News {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}

/// `GET /live`.
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response<Body> {
    let filter = match Filter::parse(&parameter(&query, "q").unwrap_or_default()) {
        Ok(filter) => filter,
        Err(error) => return Failure::from(crate::store::read::ReadError::Filter(error)).into_response(),
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(LiveCursor::parse);
    let begun = app.pool.ask(move |reader| {
        let now = reader.watch()?;
        // A place behind the end is one in another store, which had this name before.
        let known = last.filter(|last| last.span <= now.cursor.span && last.score <= now.cursor.score);
        Ok((known.map_or(now, Reader::watch_from), reader.database().place()))
    });
    let (watch, place) = match begun.await {
        Ok(begun) => begun,
        Err(failure) => return failure.into_response(),
    };
    if app.streams.available_permits() == 0 {
        let message = "too many pages follow the store";
        return Failure::new(StatusCode::SERVICE_UNAVAILABLE, message, "close one of them").into_response();
    }
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(tell(app, watch, place, filter, sender));
    let mut response = Response::new(Body::new(News(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

async fn tell(app: Arc<App>, mut watch: Watch, mut place: Place, filter: Filter, sender: mpsc::Sender<Bytes>) {
    let Ok(_stream) = app.streams.try_acquire() else { return };
    let filter = Arc::new(filter);
    let cursor = watch.cursor.text();
    let mut text = format!("event: hello\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\"}}\n\n");
    let mut quiet = 0;
    loop {
        if !text.is_empty() {
            quiet = 0;
            let sent = sender.send(Bytes::from(std::mem::take(&mut text)));
            if !tokio::time::timeout(PATIENCE, sent).await.is_ok_and(|sent| sent.is_ok()) {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
        if sender.is_closed() {
            return;
        }
        let filter = Arc::clone(&filter);
        let mut seen = watch.clone();
        let looked = app.pool.ask(move |reader| {
            let now = reader.database().place();
            if now != place {
                // Whoever listens asks for everything anew: what is in the new store already is not told piece by piece.
                return Ok((replaced(&reader.watch()?), now));
            }
            let changes = reader.changes(&mut seen, &filter)?;
            Ok(((events(&changes, &seen.cursor.text()), seen), now))
        });
        // A store that is busy or being replaced is there again at the next look.
        if let Ok(((told, seen), now)) = looked.await {
            text = told;
            watch = seen;
            place = now;
        }
        quiet += 1;
        if quiet >= QUIET && text.is_empty() {
            text.push_str(": nothing new\n\n");
        }
    }
}

/// The store was made, deleted or replaced.
fn replaced(watch: &Watch) -> (String, Watch) {
    let cursor = watch.cursor.text();
    (format!("event: store\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\"}}\n\n"), watch.clone())
}

/// The last event of a look has the cursor: who loses the connection before it gets all of them again.
fn events(changes: &Changes, cursor: &str) -> String {
    fn event(name: &str, data: &impl Json, text: &mut String) {
        text.push_str("event: ");
        text.push_str(name);
        // JSON text has no line breaks.
        text.push_str("\ndata: ");
        data.write(text);
        text.push_str("\n\n");
    }
    let mut text = String::new();
    changes.opened.iter().for_each(|span| event("open", span, &mut text));
    changes.ended.iter().for_each(|span| event("end", span, &mut text));
    changes.scores.iter().for_each(|score| event("score", score, &mut text));
    changes.traces.iter().for_each(|trace| event("trace", trace, &mut text));
    if !text.is_empty() {
        text.truncate(text.trim_end_matches('\n').len());
        text.push_str("\nid: ");
        text.push_str(cursor);
        text.push_str("\n\n");
    }
    text
}
