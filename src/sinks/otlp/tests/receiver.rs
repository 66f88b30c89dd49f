//! A real HTTP/1.1 receiver on a port of its own, with one thread per connection, that answers as a test says and keeps
//! what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) start: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body without its compression.
    pub(super) fn plain(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            None => self.body.clone(),
            Some("gzip") => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(self.body.as_slice()).read_to_end(&mut plain).unwrap();
                plain
            }
            #[cfg(feature = "zstd")]
            Some("zstd") => zstd::stream::decode_all(self.body.as_slice()).unwrap(),
            Some(other) => panic!("unknown encoding {other}"),
        }
    }

    pub(super) fn data(&self) -> TracesData {
        match self.header("content-type") {
            Some("application/x-protobuf") => TracesData::decode(self.plain().as_slice()).unwrap(),
            Some("application/json") => serde_json::from_slice(&self.plain()).unwrap(),
            other => panic!("content type {other:?}"),
        }
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        spans(self.data())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.spans().into_iter().map(|span| span.name).collect()
    }
}

pub(super) fn spans(data: TracesData) -> Vec<Span> {
    assert_eq!(data.resource_spans.len(), 1, "one resource");
    data.resource_spans.into_iter().flat_map(|part| part.scope_spans).flat_map(|part| part.spans).collect()
}

/// What the receiver does with a request.
pub(super) enum Answer {
    /// A complete response on a connection that stays open.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The same, and the connection is closed without a word about it.
    ReplyAndClose { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// These bytes, whatever they are, and the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then one more each time the given interval has passed.
    Drip(Vec<u8>, Duration),
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset after these bytes.
    Reset(Vec<u8>),
    /// Nothing, until the receiver ends.
    Silence,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self::Reply { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn with(status: u16, name: &'static str, value: impl Into<String>) -> Self {
        Self::Reply { status, headers: vec![(name, value.into())], body: Vec::new() }
    }

    pub(super) fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Reply { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }
}

type Respond = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    connections: usize,
    ended: bool,
}

struct State {
    log: Mutex<Log>,
    changed: Condvar,
    respond: Box<Respond>,
}

/// Ends when dropped.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

/// The longest that a test waits for anything; never the expected time.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Receiver {
    /// `respond` is given the request and its number, from 0.
    pub(super) fn start(respond: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_over(TcpListener::bind("127.0.0.1:0").unwrap(), Box::new(|stream| Some(Box::new(stream))), respond)
    }

    /// The same on a given listener, with something between TCP and HTTP.
    pub(super) fn start_over(
        listener: TcpListener,
        wrap: Box<dyn Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync>,
        respond: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { log: Mutex::default(), changed: Condvar::new(), respond: Box::new(respond) });
        let shared = Arc::clone(&state);
        let wrap = Arc::new(wrap);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                {
                    let mut log = lock(&shared);
                    if log.ended {
                        return;
                    }
                    log.connections += 1;
                }
                let (Ok(stream), shared, wrap) = (stream, Arc::clone(&shared), Arc::clone(&wrap)) else { return };
                std::thread::spawn(move || {
                    let reset = stream.try_clone().unwrap();
                    if let Some(stream) = wrap(stream) {
                        // A client that goes away is no fault of the receiver.
                        let _ = serve(stream, &reset, &shared);
                    }
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.state).connections
    }

    /// Names of all spans that arrived, in order, repetitions included.
    pub(super) fn names(&self) -> Vec<String> {
        self.seen().iter().flat_map(Seen::names).collect()
    }

    /// Waits until this many requests have arrived.
    pub(super) fn wait_for(&self, requests: usize) {
        let log = lock(&self.state);
        let (log, waited) =
            self.state.changed.wait_timeout_while(log, PATIENCE, |log| log.seen.len() < requests).unwrap();
        assert!(!waited.timed_out(), "{} of {requests} requests", log.seen.len());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        lock(&self.state).ended = true;
        self.state.changed.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &State) -> std::sync::MutexGuard<'_, Log> {
    state.log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn response(status: u16, headers: &[(&'static str, String)], body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Word\r\ncontent-length: {}\r\n", body.len());
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [head.as_bytes(), headers.concat().as_bytes(), b"\r\n", body].concat()
}

fn serve(stream: Box<dyn Stream>, tcp: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream)? {
        let number = {
            let mut log = lock(state);
            log.seen.push(seen.clone());
            log.seen.len() - 1
        };
        state.changed.notify_all();
        let answer = (state.respond)(&seen, number);
        let out = stream.get_mut();
        match answer {
            Answer::Reply { status, headers, body } => out.write_all(&response(status, &headers, &body))?,
            Answer::ReplyAndClose { status, headers, body } => {
                out.write_all(&response(status, &headers, &body))?;
                return out.flush();
            }
            Answer::Raw(bytes) => {
                out.write_all(&bytes)?;
                return out.flush();
            }
            Answer::Drip(bytes, interval) => {
                out.write_all(&bytes)?;
                while !ended_within(state, interval) {
                    out.write_all(b"x")?;
                    out.flush()?;
                }
            }
            Answer::Close => return Ok(()),
            Answer::Reset(bytes) => {
                out.write_all(&bytes)?;
                // Closing with a linger time of zero sends RST.
                socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Answer::Silence => while !ended_within(state, PATIENCE) {},
        }
        stream.get_mut().flush()?;
    }
    Ok(())
}

/// Waits, and says whether the receiver has ended meanwhile.
fn ended_within(state: &State, time: Duration) -> bool {
    state.changed.wait_timeout_while(lock(state), time, |log| !log.ended).unwrap().0.ended
}

fn read_request(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<Option<Seen>> {
    let mut start = String::new();
    if stream.read_line(&mut start)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut seen = Seen { at: Instant::now(), start: start.trim_end().to_owned(), headers, body: Vec::new() };
    let length = seen.header("content-length").unwrap().parse().unwrap();
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body)?;
    Ok(Some(seen))
}
