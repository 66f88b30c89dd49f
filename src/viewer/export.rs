//! One trace as a file: OTLP JSON, a line of JSON for each span, or a page that needs no server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::Response;
use axum::http::header::HeaderMap;

use super::App;
use super::api::{attachment, parameter};
use super::reply::{self, Failure};
use crate::store::read::json::Json as _;
use crate::store::read::otlp;
use crate::store::read::span::SpanContent;
use crate::store::read::trace::Trace;
use crate::store::read::{Reader, Status};

pub(super) const PATH: &str = "/api/v1/traces/{trace}/export";
/// Content of a file, at most: the rest of a larger trace is for `ironspan export`, bytes.
const LARGEST: usize = 64 << 20;

#[derive(Clone, Copy)]
enum Format {
    Otlp,
    Lines,
    Page,
}

/// `GET /traces/{id}/export`.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path(trace): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response<Body> {
    let (format, end, kind) = match parameter(&query, "format").as_deref() {
        None | Some("otlp-json") => (Format::Otlp, "json", "application/json"),
        Some("jsonl") => (Format::Lines, "jsonl", "application/jsonl"),
        Some("html") => (Format::Page, "html", "text/html; charset=utf-8"),
        Some(_) => return Failure::bad("format has to be otlp-json, jsonl or html").into_response(),
    };
    let gzip = reply::takes_gzip(&headers);
    let answer = app.pool.ask(move |reader| {
        let (id, text) = write(reader, &trace, format)?;
        let mut response = reply::json(text, gzip);
        attachment(&mut response, &format!("trace-{id}.{end}"), kind);
        Ok(response)
    });
    answer.await.unwrap_or_else(Failure::into_response)
}

fn write(reader: &Reader, prefix: &str, format: Format) -> Result<(String, String), Failure> {
    let trace = reader.trace(prefix)?;
    let id = trace.row.id.clone();
    let mut spans = Vec::with_capacity(trace.spans.spans.len());
    let mut bytes = 0;
    for span in &trace.spans.spans {
        let content = reader.span(&id, &span.id, true)?;
        bytes += content.bytes;
        if bytes > LARGEST {
            return Err(Failure::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                "this trace is too large for a download",
                format!("run `ironspan export {id}`"),
            ));
        }
        spans.push(content);
    }
    let mut text = String::with_capacity(bytes);
    match format {
        Format::Otlp => otlp::write(&spans, &mut text),
        Format::Lines => spans.iter().for_each(|span| {
            span.write(&mut text);
            text.push('\n');
        }),
        Format::Page => write_page(&trace, &spans, &mut text),
    }
    Ok((id, text))
}

/// A page without any script: a folded entry for each span, as deep as it stands in the tree.
pub(crate) fn write_page(trace: &Trace, spans: &[SpanContent], out: &mut String) {
    let title = escaped(&trace.row.name);
    out.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    );
    out.push_str("<title>");
    out.push_str(&title);
    out.push_str(
        "</title><style>body{font:14px/1.5 system-ui,sans-serif;margin:2em;max-width:80em}pre{white-space:pre-wrap;\
         overflow-wrap:anywhere;background:#8881;padding:.5em}summary{cursor:pointer}.error{color:#b00}\
         small{opacity:.7}</style></head><body><h1>",
    );
    out.push_str(&title);
    out.push_str("</h1><p><small>");
    // Writing into a string cannot fail.
    let _ = write!(out, "{}, {}, {} spans", trace.row.id, trace.row.status.name(), trace.row.spans);
    out.push_str("</small></p>");
    let skeleton = &trace.spans;
    let children = skeleton.children();
    let mut stack: Vec<(usize, usize)> = children.last().into_iter().flatten().rev().map(|index| (*index, 0)).collect();
    while let Some((index, depth)) = stack.pop() {
        if let Some(span) = spans.get(index) {
            write_entry(span, depth, out);
        }
        stack.extend(children.get(index).into_iter().flatten().rev().map(|child| (*child, depth + 1)));
    }
    out.push_str("</body></html>\n");
}

fn write_entry(span: &SpanContent, depth: usize, out: &mut String) {
    let class = if span.status == Status::Error { " class=\"error\"" } else { "" };
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let milliseconds = span.duration_ns as f64 / 1e6;
    let _ = write!(
        out,
        "<details style=\"margin-left:{}em\"><summary{class}>{} <small>{} {milliseconds:.3} ms {}</small></summary>",
        depth.min(40),
        escaped(&span.name),
        span.kind.name(),
        span.status.name(),
    );
    let mut part = |name: &str, text: &str| {
        if !text.is_empty() && text != "[]" {
            let _ = write!(out, "<h4>{name}</h4><pre>{}</pre>", escaped(text));
        }
    };
    if let Some(error) = &span.error {
        part("error", error.message.as_deref().unwrap_or_default());
        part("stack", error.stack.as_deref().unwrap_or_default());
    }
    if let Some(messages) = &span.messages {
        part("instructions", &messages.instructions.0);
        part("input", &messages.input.0);
        part("output", &messages.output.0);
    }
    part("input", span.input.as_deref().unwrap_or_default());
    part("output", span.output.as_deref().unwrap_or_default());
    part("attributes", &span.attributes.to_string());
    out.push_str("</details>");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}
