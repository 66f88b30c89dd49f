//! The routes, and what each asks of a reader (docs/viewer-api.md).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{MethodRouter, get};

use super::reply::{self, Failure};
use super::{App, export, guard, live};
use crate::store::read::json::{Json as _, object};
use crate::store::read::metrics::{By, Metric};
use crate::store::read::page::ListQuery;
use crate::store::read::traces::Sort;
use crate::store::read::{ReadError, Reader, system_now};
use crate::store::scores::{NewScore, ScoreWriter};

/// How long a request may take in all.
const REQUEST: Duration = Duration::from_secs(10);
/// The largest body of a request, bytes.
const BODY: usize = 64 << 10;
/// Parameters of a request, at most.
const PARAMETERS: usize = 32;

/// What a request asks: the parts of its path and its parameters.
#[derive(Debug, Default)]
pub(super) struct Ask {
    path: HashMap<String, String>,
    query: HashMap<String, String>,
}

impl Ask {
    fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    fn list(&self, reader: &Reader) -> Result<ListQuery, Failure> {
        let [q, since, until, limit, cursor] = ["q", "since", "until", "limit", "cursor"].map(|name| self.get(name));
        Ok(ListQuery::parse(reader, q, since, until, limit, cursor)?)
    }

    /// A word out of several; the first of them when none is given.
    fn word<T>(&self, name: &str, words: &[&str], read: impl Fn(&str) -> Option<T>) -> Result<T, Failure> {
        let word = self.get(name).or(words.first().copied()).unwrap_or_default();
        let found = read(word).filter(|_| words.contains(&word));
        found.ok_or_else(|| Failure::bad(format!("{name} has to be one of {}", words.join(", "))))
    }
}

pub(super) type Question = fn(&Reader, &Ask) -> Result<String, Failure>;

/// What is asked of one reader and answered with JSON.
pub(super) const QUESTIONS: [(&str, Question); 18] = [
    ("/api/v1/status", |reader, _| Ok(reader.status()?.to_json())),
    ("/api/v1/traces", traces),
    ("/api/v1/traces/{trace}", |reader, ask| Ok(reader.trace(ask.part("trace"))?.to_json())),
    ("/api/v1/traces/{trace}/graph", |reader, ask| Ok(reader.trace_graph(ask.part("trace"))?.to_json())),
    ("/api/v1/spans/{trace}/{span}", |reader, ask| {
        Ok(reader.span(ask.part("trace"), ask.part("span"), ask.is_set("whole"))?.to_json())
    }),
    ("/api/v1/spans/{trace}/{span}/delta", |reader, ask| {
        Ok(reader.delta(ask.part("trace"), ask.part("span"))?.to_json())
    }),
    ("/api/v1/compare", |reader, ask| {
        let trace = |name| ask.get(name).ok_or_else(|| Failure::bad("a and b have to be the ids of two traces"));
        Ok(reader.compare(trace("a")?, trace("b")?)?.to_json())
    }),
    ("/api/v1/sessions", |reader, ask| Ok(reader.sessions(&ask.list(reader)?)?.to_json())),
    ("/api/v1/sessions/{session}", |reader, ask| Ok(reader.session(ask.part("session"))?.to_json())),
    ("/api/v1/metrics/series", series),
    ("/api/v1/metrics/table", table),
    ("/api/v1/graph", |reader, ask| Ok(reader.graph(&ask.list(reader)?)?.to_json())),
    ("/api/v1/errors", |reader, ask| Ok(reader.errors(&ask.list(reader)?)?.to_json())),
    ("/api/v1/search", |reader, ask| {
        Ok(reader.search(ask.get("text").unwrap_or_default(), &ask.list(reader)?)?.to_json())
    }),
    ("/api/v1/facets", |reader, ask| {
        let values = reader.facets(ask.get("field").unwrap_or_default(), ask.get("prefix").unwrap_or_default())?;
        let mut out = String::new();
        object!(&mut out, "values": values);
        Ok(out)
    }),
    ("/api/v1/scores", |reader, ask| Ok(reader.scores(ask.get("name"), ask.get("trace"))?.to_json())),
    // These two answer by themselves; their names are here so that a list of all routes has them.
    (live::PATH, |_, _| Err(Failure::internal())),
    (export::PATH, |_, _| Err(Failure::internal())),
];

fn traces(reader: &Reader, ask: &Ask) -> Result<String, Failure> {
    let sort = ask.word("sort", &["start", "duration", "cost", "tokens", "errors"], Sort::from_name)?;
    Ok(reader.traces(&ask.list(reader)?, sort, ask.is_set("facets"))?.to_json())
}

fn series(reader: &Reader, ask: &Ask) -> Result<String, Failure> {
    let metrics = ["latency", "errors", "tokens", "cost", "count", "first_chunk"];
    let metric = ask.word("metric", &metrics, Metric::from_name)?;
    let by = ask.word("by", &["none", "agent", "model", "tool", "kind", "name"], By::from_name)?;
    let step = match ask.get("step") {
        None => None,
        Some(text) => {
            let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or_else(|| Failure::bad("step has to be a whole number of seconds"))?;
            Some(i64::from(seconds) * 1_000_000_000)
        }
    };
    Ok(reader.series(&ask.list(reader)?, metric, by, step)?.to_json())
}

fn table(reader: &Reader, ask: &Ask) -> Result<String, Failure> {
    let by = ["agent", "tool", "model", "session", "user", "name", "kind", "none"];
    Ok(reader.table(&ask.list(reader)?, ask.word("by", &by, By::from_name)?)?.to_json())
}

/// The answer to the question at `path` (without `/api/v1`), for whoever has a reader and no page.
///
/// # Errors
///
/// A sentence: there is no such question, a parameter makes no sense, or the store cannot be read.
pub fn answer(
    reader: &Reader,
    path: &str,
    parameters: impl IntoIterator<Item = (String, String)>,
) -> Result<String, String> {
    let asked: Vec<&str> = path.trim_matches('/').split('/').collect();
    for (pattern, question) in QUESTIONS {
        let parts: Vec<&str> = pattern.trim_start_matches("/api/v1/").split('/').collect();
        let variable = |part: &str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).map(str::to_owned);
        let fits = |(part, given): (&&str, &&str)| part == given || variable(part).is_some();
        if parts.len() != asked.len() || !parts.iter().zip(&asked).all(fits) {
            continue;
        }
        let named = parts.iter().zip(&asked).filter_map(|(part, given)| Some((variable(part)?, (*given).to_owned())));
        let ask = Ask { path: named.collect(), query: parameters.into_iter().collect() };
        return question(reader, &ask).map_err(|failure| failure.sentence());
    }
    Err(format!("there is no question {path}"))
}

/// Everything that is served.
pub(super) fn routes(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for (path, question) in QUESTIONS {
        let mut methods: MethodRouter<Arc<App>> = match path {
            live::PATH => get(live::follow),
            export::PATH => get(export::download),
            _ => get(move |State(app), path, query, headers| asked(app, path, query, headers, question)),
        };
        if path == "/api/v1/scores" {
            methods = methods.post(add_score);
        }
        router = router.route(path, methods);
    }
    router
        .route("/api/v1/scores/{id}", axum::routing::delete(remove_score))
        .route("/", get(|State(app): State<Arc<App>>, headers| async move { asset(&app, "index.html", &headers) }))
        .route(
            "/ui/{*path}",
            get(|State(app): State<Arc<App>>, Path(path): Path<String>, headers| async move {
                asset(&app, &path, &headers)
            }),
        )
        .fallback(|| async {
            Failure::new(StatusCode::NOT_FOUND, "there is nothing here", "see docs/viewer-api.md").into_response()
        })
        .method_not_allowed_fallback(|| async {
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, "that method is not for this path", "see docs/viewer-api.md")
                .into_response()
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

/// Around every request: who may, how long, and what every answer has.
async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut response = if let Err(failure) = app.guard.check(&parts) {
        failure.into_response()
    } else {
        let request = Request::from_parts(parts, body);
        tokio::time::timeout(REQUEST, next.run(request)).await.unwrap_or_else(|_| {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the request took over 10 s", "ask for less").into_response()
        })
    };
    // The framework's own refusals (a path that is no UTF-8) are plain text.
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if response.status().is_client_error() && plain {
        response = Failure::new(response.status(), "that request cannot be read", "").into_response();
    }
    guard::seal(response.headers_mut());
    response
}

async fn asked(
    app: Arc<App>,
    Path(path): Path<HashMap<String, String>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    question: Question,
) -> Response<Body> {
    if query.len() > PARAMETERS {
        return Failure::bad("too many parameters").into_response();
    }
    let gzip = reply::takes_gzip(&headers);
    let ask = Ask { path, query };
    let answer = app.pool.ask(move |reader| Ok(reply::json(question(reader, &ask)?, gzip))).await;
    answer.unwrap_or_else(Failure::into_response)
}

fn asset(app: &App, path: &str, headers: &HeaderMap) -> Response<Body> {
    app.assets.get(path, headers).unwrap_or_else(Failure::into_response)
}

async fn add_score(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let answer = async {
        let body = axum::body::to_bytes(request.into_body(), BODY).await.map_err(|_| {
            let hint = format!("{BODY} bytes at most");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or has not come", hint)
        })?;
        let new = read_score(&body)?;
        change(&app, move |writer| Ok(writer.put(&new, system_now())?.to_json())).await
    };
    answer.await.unwrap_or_else(Failure::into_response)
}

async fn remove_score(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response<Body> {
    let answer = async {
        let missing = || Failure::new(StatusCode::NOT_FOUND, "there is no such score", "");
        let id: i64 = id.parse().map_err(|_| missing())?;
        change(&app, move |writer| if writer.delete(id)? { Ok(String::from("{}")) } else { Err(missing()) }).await
    };
    answer.await.unwrap_or_else(Failure::into_response)
}

/// With a connection that writes, opened for this one change.
async fn change(
    app: &App,
    change: impl FnOnce(&ScoreWriter) -> Result<String, Failure> + Send + 'static,
) -> Result<Response<Body>, Failure> {
    let path = app.pool.path().to_owned();
    let changed = tokio::task::spawn_blocking(move || {
        if !path.exists() {
            return Err(Failure::new(StatusCode::NOT_FOUND, "there is no store yet", "record a trace first"));
        }
        let writer = ScoreWriter::open(&path).map_err(ReadError::Store)?;
        Ok(reply::json(change(&writer)?, false))
    });
    changed.await.map_err(|_| Failure::internal())?
}

fn read_score(body: &[u8]) -> Result<NewScore, Failure> {
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| Failure::bad("the body has to be a JSON object"))?;
    let map = value.as_object().ok_or_else(|| Failure::bad("the body has to be a JSON object"))?;
    let text = |name: &str| match map.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(Failure::bad(format!("{name} has to be a text"))),
    };
    let value = match map.get("value") {
        None | Some(serde_json::Value::Null) => None,
        Some(value) => Some(value.as_f64().ok_or_else(|| Failure::bad("value has to be a number"))?),
    };
    Ok(NewScore {
        trace: text("trace")?,
        span: text("span")?,
        session: text("session")?,
        name: text("name")?.unwrap_or_default(),
        value,
        label: text("label")?,
        comment: text("comment")?,
        source: String::from("user"),
        ..NewScore::default()
    })
}

/// A file to be saved, never shown.
pub(super) fn attachment(response: &mut Response<Body>, name: &str, kind: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
}

/// The parameters of a request that answers by itself.
pub(super) fn parameter(query: &HashMap<String, String>, name: &str) -> Option<String> {
    query.get(name).cloned().filter(|text| !text.is_empty())
}
