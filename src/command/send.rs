//! `ironspan export --otlp URL`: the history of the store to an OTLP receiver, by the sink that programs export with.
//!
//! ```text
//! Reader --trace by trace--> portions of one resource each --OtlpSink: encode, retry, halve--> receiver
//!                            two on their way at once
//! ```
//!
//! Ids and times stay as they are, so that a receiver which knows spans by their ids may be sent the same again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::args::{Common, Export};
use super::import::{add, resource};
use super::list::nothing;
use super::otlp::Incoming;
use super::output::{Failure, Out};
use super::store;
use crate::config::{BatchConfig, OtlpConfig};
use crate::finished::BatchBuilder;
use crate::ledger::{CountsSnapshot, Ledger};
use crate::sinks::otlp::{OtlpSink, OtlpWorker};
use crate::sinks::{Delivery, Destination, FlushToken, Health, Sink};
use crate::store::read::Reader;
use crate::store::read::otlp::scope_version;
use crate::store::read::page::MOST;
use crate::store::read::traces::{Sort, TraceRow};
use crate::terminal::format;

/// Spans of a portion, and bytes of all that wait to be one. A portion is a request, where it is not too large for one.
const SPANS: usize = 512;
const BYTES: usize = 4 << 20;
/// Portions on their way: one that is sent, and one that is ready when it has arrived.
const UNDERWAY: usize = 2;
/// Between two looks at Ctrl-C and at how it goes.
const LOOK: Duration = Duration::from_millis(50);
/// What is on its way gets so long when it has been decided to stop.
const FAREWELL: Duration = Duration::from_secs(2);
/// A receiver that has refused so many spans and taken none takes none: the URL is wrong, or the tenant.
const REFUSED: u64 = 2_048;
/// Nobody waits as long for a portion: whether to wait on is decided at every look.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);

/// Why it ended before its time.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// The receiver takes nothing.
    GivenUp(String),
}

pub(crate) fn run(common: &Common, export: &Export, url: &str, out: &mut Out<'_>) -> Result<(), Failure> {
    let headers = export.header.iter().map(|text| header(text)).collect::<Result<Vec<_>, _>>()?;
    let (config, warnings) = OtlpConfig::receiver(url, &headers, out.environment())
        .map_err(|error| Failure::Usage(error.to_string(), None))?;
    for warning in warnings {
        out.note(&format!("warning: {warning}"))?;
    }
    let reader = store::reader(common, out)?;
    let mut query = store::query(&reader, &export.selection)?;
    query.limit = MOST;
    let total = store::count(&reader, &query, out);
    let mut page = reader.traces(&query, Sort::Start, false)?;
    if page.traces.is_empty() {
        return Err(Failure::Nothing(nothing(&export.selection.filter())));
    }
    let patience = Duration::from_secs(u64::from(export.patience));
    let mut sending = Sending::new(&config, patience)?;
    let mut traces = 0;
    let stop = loop {
        let mut stop = None;
        for trace in &page.traces {
            stop = sending.trace(&reader, trace, out)?;
            if stop.is_some() {
                break;
            }
            traces += 1;
            out.step(traces, total, "traces sent")?;
        }
        query.cursor = page.next;
        if stop.is_some() || query.cursor.is_none() {
            break stop;
        }
        page = reader.traces(&query, Sort::Start, false)?;
    };
    let stop = match stop {
        None => sending.rest(out)?,
        some => some,
    };
    let (counts, open) = sending.end();
    tell(&config, &counts, open, stop, out)
}

/// `name=value`.
fn header(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The text may be a credential whose name was forgotten: it is not shown.
    pair.ok_or_else(|| {
        Failure::Usage(
            String::from("a --header has no equals sign"),
            Some(String::from("write --header x-api-key=VALUE")),
        )
    })
}

/// The end of the story, and whether it is a good one.
fn tell(
    config: &OtlpConfig,
    counts: &CountsSnapshot,
    open: u64,
    stop: Option<Stop>,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let lost = counts.dropped_total().saturating_add(u64::try_from(counts.pending).unwrap_or(0));
    if out.json {
        out.value(&serde_json::json!({"delivered": counts.delivered, "rejected": counts.rejected, "lost": lost,
            "open": open, "stopped": stop.is_some()}))?;
    } else {
        let delivered = format::plural(counts.delivered, "span");
        let (rejected, lost) = (format::count(counts.rejected), format::count(lost));
        out.say(&format!("{delivered} delivered to {}, {rejected} rejected, {lost} lost", config.shown_url()))?;
        if open > 0 {
            out.say(&format!("{} left out that had not ended", format::plural(open, "span")))?;
        }
    }
    match stop {
        Some(Stop::Interrupted) => out.note("stopped; the same command sends everything again, with the same ids")?,
        Some(Stop::GivenUp(why)) => out.note(&format!("given up: {why}"))?,
        None if counts.rejected == 0 && lost == 0 => return Ok(()),
        None => {}
    }
    Err(Failure::Negative)
}

/// The way to the receiver.
struct Sending {
    sink: OtlpSink,
    destination: Arc<Destination>,
    ledger: &'static Ledger,
    patience: Duration,
    /// What waits to be a portion, by the JSON of its resource: a request has one.
    waiting: BTreeMap<String, BatchBuilder>,
    waiting_bytes: usize,
    /// Closed when the portion has been settled.
    underway: VecDeque<Receiver<()>>,
    /// Spans that have not ended.
    open: u64,
}

impl Sending {
    fn new(config: &OtlpConfig, patience: Duration) -> Result<Self, Failure> {
        // One for each run of the command, which is one for each process.
        let ledger: &'static Ledger = Box::leak(Box::new(Ledger::new()));
        // What is on its way is bounded here: nothing is dropped for want of room.
        let destination = Arc::new(Destination::new("otlp", usize::MAX));
        let batch = BatchConfig::default();
        let sink = OtlpSink::new(config, &batch, Arc::clone(&destination), &OtlpWorker::new(ledger))
            .map_err(|problem| Failure::Usage(format!("the receiver {}", problem.text()), None))?;
        let (waiting, underway) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { sink, destination, ledger, patience, waiting, waiting_bytes: 0, underway, open: 0 })
    }

    /// Sends the spans of a trace that have ended, or keeps them for the next portion.
    fn trace(&mut self, reader: &Reader, trace: &TraceRow, out: &mut Out<'_>) -> Result<Option<Stop>, Failure> {
        if out.interrupted() {
            return Ok(Some(Stop::Interrupted));
        }
        for row in &reader.trace(&trace.id)?.spans.spans {
            if row.status.is_open() {
                self.open += 1;
                continue;
            }
            let Some(span) = Incoming::stored(reader.span(&trace.id, &row.id, true)?) else { continue };
            let key = serde_json::Value::Object(span.resource.clone()).to_string();
            let builder = self.waiting.entry(key.clone()).or_default();
            let before = builder.bytes();
            add(builder, &span);
            self.waiting_bytes += builder.bytes().saturating_sub(before);
            let is_full = builder.len() >= SPANS;
            let stop = if self.waiting_bytes >= BYTES {
                self.all(out)?
            } else if is_full {
                self.portion(&key, out)?
            } else {
                None
            };
            if stop.is_some() {
                return Ok(stop);
            }
        }
        Ok(None)
    }

    /// Sends everything that waits, and waits until it is settled.
    fn rest(&mut self, out: &mut Out<'_>) -> Result<Option<Stop>, Failure> {
        let mut stop = self.all(out)?;
        while stop.is_none() && !self.underway.is_empty() {
            stop = self.wait(out)?;
        }
        Ok(stop)
    }

    fn all(&mut self, out: &mut Out<'_>) -> Result<Option<Stop>, Failure> {
        let keys: Vec<String> = self.waiting.keys().cloned().collect();
        for key in keys {
            let stop = self.portion(&key, out)?;
            if stop.is_some() {
                return Ok(stop);
            }
        }
        Ok(None)
    }

    /// Sends what waits for the resource `key`.
    fn portion(&mut self, key: &str, out: &mut Out<'_>) -> Result<Option<Stop>, Failure> {
        let Some(builder) = self.waiting.remove(key) else { return Ok(None) };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(builder.bytes());
        let attributes: serde_json::Value = serde_json::from_str(key).unwrap_or_default();
        let mut resource = attributes.as_object().map(resource).unwrap_or_default();
        scope_version(&attributes).clone_into(&mut resource.scope_version);
        let batch = builder.build(Arc::new(resource), None);
        self.ledger.spans.create_many(batch.len() as u64);
        for delivery in Delivery::fan_out(batch, &[Arc::clone(&self.destination)], self.ledger) {
            self.sink.accept(delivery);
        }
        let (token, settled) = FlushToken::pair();
        self.sink.flush(Instant::now() + FOR_EVER, token);
        self.underway.push_back(settled);
        let mut stop = None;
        while stop.is_none() && self.underway.len() > UNDERWAY {
            stop = self.wait(out)?;
        }
        Ok(stop)
    }

    /// Waits until the oldest portion is settled.
    fn wait(&mut self, out: &mut Out<'_>) -> Result<Option<Stop>, Failure> {
        let Some(oldest) = self.underway.front() else { return Ok(None) };
        let mut last = (Instant::now(), self.settled());
        while oldest.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if out.interrupted() {
                return Ok(Some(Stop::Interrupted));
            }
            let now = self.settled();
            if now != last.1 {
                last = (Instant::now(), now);
            }
            let why = || self.destination.last_error().unwrap_or_else(|| String::from("the receiver does not answer"));
            if self.destination.health() == Health::Paused {
                return Ok(Some(Stop::GivenUp(why())));
            }
            if last.0.elapsed() >= self.patience {
                return Ok(Some(Stop::GivenUp(format!("nothing taken for {} s: {}", self.patience.as_secs(), why()))));
            }
            if self.destination.health() == Health::Retrying {
                out.progress(&format!("waiting for the receiver: {}", why()))?;
            }
        }
        self.underway.pop_front();
        let counts = self.destination.spans.snapshot();
        if counts.delivered == 0 && counts.rejected >= REFUSED {
            let why = self.destination.last_error().unwrap_or_default();
            return Ok(Some(Stop::GivenUp(format!("the receiver refuses every span: {why}"))));
        }
        Ok(None)
    }

    /// Spans of which it is known what became of them.
    fn settled(&self) -> u64 {
        let counts = self.destination.spans.snapshot();
        counts.delivered + counts.rejected + counts.dropped_total()
    }

    /// Ends the connection. What was read and not sent is lost; open spans are not.
    fn end(self) -> (CountsSnapshot, u64) {
        let deadline = Instant::now() + FAREWELL;
        let (token, ended) = FlushToken::pair();
        self.sink.shutdown(deadline, token);
        // Without this a thread that is stuck would keep the command from ending.
        let _ = ended.recv_deadline(deadline + FAREWELL);
        let mut counts = self.destination.spans.snapshot();
        let unsent: usize = self.waiting.values().map(BatchBuilder::len).sum();
        counts.pending = counts.pending.saturating_add(i64::try_from(unsent).unwrap_or(i64::MAX));
        (counts, self.open)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use crate::command::testing::ironspan;
    use crate::config::testing::Folder;
    use crate::store::read::testing::story;
    use crate::store::{Access, Database};

    /// A receiver that answers every request with `status`; says for how many bytes of body each asked.
    fn receiver(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut seen = Vec::new();
                let mut buffer = [0; 4_096];
                loop {
                    let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
                    let head = String::from_utf8_lossy(seen.get(..end.unwrap_or(0)).unwrap_or_default()).into_owned();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    if end.is_some_and(|end| seen.len() >= end + 4 + length.unwrap_or(0)) {
                        break;
                    }
                    match stream.read(&mut buffer) {
                        Ok(count) if count > 0 => seen.extend(buffer.iter().take(count)),
                        _ => break,
                    }
                }
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    #[test]
    fn the_exit_status_says_whether_everything_was_delivered() {
        let folder = Folder::new();
        let path = folder.0.join("traces.db");
        story(&Database::open(&path, Access::Write).unwrap().connection);
        for (status, expected, told) in [
            ("200 OK", 0, "\"lost\":0"),
            ("404 Not Found", 1, "\"delivered\":0"),
            ("401 Unauthorized", 1, "\"stopped\":true"),
        ] {
            let url = receiver(status);
            let ran = ironspan(&path, &["export", "--otlp", &url, "--json"], None);
            assert_eq!(ran.status, expected, "{status}: {} {}", ran.out, ran.err);
            assert!(ran.out.contains(told), "{status}: {}", ran.out);
        }
        let ran = ironspan(&path, &["export", "--otlp", "localhost:4318"], None);
        assert!(
            ran.status == 2 && ran.err.contains("--otlp is \"localhost:4318\", which has no scheme"),
            "{}",
            ran.err
        );
        let ran = ironspan(&path, &["export", "--otlp", "http://localhost:1", "--header", "secret"], None);
        assert!(ran.status == 2 && !ran.err.contains("secret"), "{}", ran.err);
    }
}
