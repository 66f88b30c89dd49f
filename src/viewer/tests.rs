//! The server over real sockets: who is answered, with what, and what a hostile client gets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::format_push_string,
    reason = "a failing test may panic"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::MapEnvironment;
use crate::config::testing::Folder;
use crate::kind::Kind;
use crate::store::read::testing::{seed, span_id, story, trace_id};
use crate::store::{Access, Database};

struct Server {
    served: Served,
    database: Database,
    _folder: Folder,
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }
}

fn options(folder: &Folder) -> Options {
    let mut options =
        Options::new(folder.0.join("traces.db"), &std::iter::empty::<(String, String)>().collect::<MapEnvironment>());
    options.port = Some(0);
    options.maintain = None;
    options
}

impl Server {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let folder = Folder::new();
        let database = Database::open(&folder.0.join("traces.db"), Access::Write).unwrap();
        story(&database.connection);
        let mut options = options(&folder);
        change(&mut options);
        Self { served: serve(options).unwrap(), database, _folder: folder }
    }

    fn host(&self) -> String {
        self.served.address.to_string()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends exactly these bytes.
    fn send(&self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.connect();
        // A server that refuses early may close before everything is written.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Answer { status, headers, body: bytes[end + 4..].to_vec() })
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text.push_str(&format!("Host: {}\r\n", self.host()));
        }
        for (name, value) in headers.iter().filter(|(_, value)| *value != "<none>") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.send(text.as_bytes()).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }
}

/// Every path with something in its place, and what it answers.
fn paths() -> Vec<(String, u16)> {
    let trace = trace_id(1);
    let mut paths: Vec<(String, u16)> = api::QUESTIONS
        .iter()
        .filter(|(path, _)| *path != live::PATH)
        .map(|(path, _)| {
            let path = path.replace("{trace}", &trace).replace("{span}", &span_id(3)).replace("{session}", "sess-demo");
            match path.as_str() {
                "/api/v1/compare" => (format!("{path}?a={trace}&b={trace}"), 200),
                "/api/v1/search" => (format!("{path}?text=duckdb"), 200),
                "/api/v1/facets" => (format!("{path}?field=agent"), 200),
                "/api/v1/metrics/series" => (format!("{path}?metric=latency&by=agent&step=60"), 200),
                "/api/v1/traces" => (format!("{path}?q=agent:manager&facets=1&sort=cost"), 200),
                _ => (path, 200),
            }
        })
        .collect();
    paths.extend([("/".to_owned(), 200), ("/ui/index.html".to_owned(), 200), ("/nothing".to_owned(), 404)]);
    paths.extend([("/api/v1/nothing".to_owned(), 404), ("/ui/../../Cargo.toml".to_owned(), 404)]);
    paths
}

fn is_sealed(answer: &Answer) -> bool {
    let is = |name: &str, value: &str| answer.headers.get(name).is_some_and(|found| found == value);
    is(
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ) && is("x-content-type-options", "nosniff")
        && is("referrer-policy", "no-referrer")
        && is("cross-origin-resource-policy", "same-origin")
        && is("cross-origin-opener-policy", "same-origin")
        && answer.headers.contains_key("cache-control")
        && !answer.headers.keys().any(|name| name.starts_with("access-control"))
}

#[test]
fn every_path_answers_its_own_page_and_nobody_else() {
    let server = Server::new(|_| {});
    let port = server.served.address.port();
    let own = format!("http://127.0.0.1:{port}");
    let (local, wrong_port) = (format!("localhost:{port}"), format!("127.0.0.1:{}", port.wrapping_add(1)));
    for (path, status) in paths() {
        let check = |method: &str, headers: &[(&str, &str)], expected: &[u16]| {
            let answer = server.ask(method, &path, headers, "");
            assert!(expected.contains(&answer.status), "{method} {path} {headers:?}: {}", answer.status);
            assert!(is_sealed(&answer), "{method} {path} {headers:?}: {:?}", answer.headers);
            assert!(answer.status < 400 || method == "HEAD" || answer.json()["error"]["message"].is_string());
        };
        check("GET", &[], &[status]);
        check("HEAD", &[], &[status]);
        check("GET", &[("Host", &local)], &[status]);
        check("GET", &[("Origin", &own)], &[status]);
        for host in ["evil.example", "127.0.0.1", "localhost", "<none>", &wrong_port, "127.0.0.1.evil.example", ""] {
            check("GET", &[("Host", host)], &[403]);
        }
        check("GET", &[("Host", &local), ("Host", "evil.example")], &[403]);
        for origin in ["http://evil.example", "null", "https://127.0.0.1", &format!("http://localhost:{port}"), ""] {
            check("GET", &[("Origin", origin)], &[403]);
        }
        for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
            check(method, &[], if status == 404 { &[404, 405] } else { &[405] });
        }
        for method in ["POST", "DELETE"] {
            let json = ("Content-Type", "application/json");
            check(method, &[json, ("X-Ironspan", "1")], &[403]);
            check(method, &[json, ("Origin", &own)], &[403]);
            check(method, &[json, ("X-Ironspan", "1"), ("Origin", "http://evil.example")], &[403]);
            let plain = ("Content-Type", "text/plain");
            check(method, &[plain, ("X-Ironspan", "1"), ("Origin", &own)], &[415]);
            let sneaky = ("Content-Type", "application/json; text/plain");
            check(method, &[sneaky, ("X-Ironspan", "1"), ("Origin", &own)], &[415]);
            check(method, &[json, ("X-Ironspan", "1"), ("Origin", &own)], &[405, 404, 400]);
        }
        if path.starts_with("/api/") {
            for site in ["cross-site", "same-site"] {
                check("GET", &[("Sec-Fetch-Site", site)], &[403]);
            }
            check("GET", &[("Sec-Fetch-Site", "same-origin")], &[status]);
        }
    }
}

#[test]
fn with_a_token_data_needs_it_and_files_do_not() {
    let token = new_token().unwrap();
    let server = Server::new(|options| options.token = Some(token.clone()));
    assert_eq!(server.served.url, format!("http://{}/#token={token}", server.host()));
    let bearer = format!("Bearer {token}");
    for (path, status) in paths() {
        let without = if path.starts_with("/api/") { 401 } else { status };
        for wrong in ["", "Bearer", "Bearer ", &token, &bearer[..bearer.len() - 1], &format!("{bearer}x"), "Bearer \0"]
        {
            if !wrong.contains('\0') {
                assert_eq!(
                    server.ask("GET", &path, &[("Authorization", wrong)], "").status,
                    without,
                    "{path} {wrong:?}"
                );
            }
        }
        assert_eq!(server.ask("GET", &path, &[("Authorization", &bearer)], "").status, status, "{path}");
        assert_eq!(server.get(&format!("{path}?token={token}")).status, without);
    }
    assert_eq!(server.get("/api/v1/status").headers["www-authenticate"], "Bearer");
}

#[test]
fn other_machines_are_not_served_without_a_token() {
    let folder = Folder::new();
    drop(Database::open(&folder.0.join("traces.db"), Access::Write).unwrap());
    let mut options = options(&folder);
    options.address = "0.0.0.0".parse().unwrap();
    assert!(matches!(serve(options.clone()), Err(Error::TokenNeeded(_))));
    for weak in ["", "secret", "a b c d e f g h i j k l m n", &"x".repeat(21)] {
        options.token = Some(weak.to_owned());
        assert!(matches!(serve(options.clone()), Err(Error::WeakToken)), "{weak}");
    }
    options.store = folder.0.join("text.db");
    options.token = Some(new_token().unwrap());
    std::fs::write(&options.store, "dear diary ".repeat(500)).unwrap();
    assert!(matches!(serve(options.clone()), Err(Error::Store(crate::store::StoreError::Foreign(_)))));
}

#[test]
fn a_port_that_is_taken_is_named_or_avoided() {
    let server = Server::new(|options| options.port = None);
    let folder = Folder::new();
    drop(Database::open(&folder.0.join("traces.db"), Access::Write).unwrap());
    let mut options = options(&folder);
    options.port = Some(server.served.address.port());
    let refused = serve(options.clone()).unwrap_err().to_string();
    assert!(refused.contains("--port") && refused.contains(&server.served.address.port().to_string()), "{refused}");
    options.port = None;
    let other = serve(options.clone()).unwrap();
    assert_ne!(other.address.port(), server.served.address.port());
    assert!(other.address.ip().is_loopback());
    other.stop();
}

#[test]
fn hostile_ids_and_parameters_are_refused_in_words() {
    let server = Server::new(|_| {});
    let long = "a".repeat(10_000);
    for id in [
        "..",
        "%2e%2e%2f%2e%2e",
        "..%5c..",
        "%00",
        "0000%00",
        "C%3A%5C",
        "CON",
        "%252e",
        "'%20OR%201=1",
        &long,
        "%c3%a9",
        "1e3",
    ] {
        for path in
            ["/api/v1/traces/{}", "/api/v1/traces/{}/graph", "/api/v1/spans/{}/1", "/api/v1/sessions/{}", "/ui/{}"]
        {
            let answer = server.get(&path.replace("{}", id));
            assert!([404, 400].contains(&answer.status), "{path} {id:.30}: {}", answer.status);
            let text = String::from_utf8(answer.body).unwrap();
            assert!(text.len() < 400 && !text.contains("/tmp") && !text.contains("src/"), "{text}");
        }
    }
    assert_eq!(server.get("/api/v1/traces/%ff").status, 400);
    for (query, at) in [
        ("traces?q=agnet:x", Some(0)),
        ("traces?q=kind:%22x", Some(5)),
        ("traces?limit=0", None),
        ("traces?limit=501", None),
        ("traces?since=yesterday", None),
        ("traces?cursor=x", None),
        ("traces?sort=x", None),
        ("metrics/series?metric=x", None),
        ("metrics/series?step=-1", None),
        ("metrics/table?by=x", None),
        ("search", None),
        ("facets?field=x", None),
        ("compare?a=1", None),
    ] {
        let answer = server.get(&format!("/api/v1/{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"]["at"].as_u64(), at, "{query}");
    }
    let ambiguous = server.get("/api/v1/traces/0000").status;
    assert_eq!(ambiguous, 200);
    seed(2, 20, 0, Kind::Tool, "t").insert(&server.database.connection);
    let ambiguous = server.get("/api/v1/traces/0000");
    assert_eq!((ambiguous.status, ambiguous.json()["candidates"].as_array().unwrap().len()), (404, 2));
}

#[test]
fn scores_are_added_listed_and_removed() {
    let server = Server::new(|_| {});
    let origin = format!("http://{}", server.host());
    let headers =
        [("Origin", origin.as_str()), ("X-Ironspan", "1"), ("Content-Type", "application/json; charset=utf-8")];
    let score = json!({"trace": trace_id(1), "span": span_id(3), "name": "right", "value": 1, "comment": "yes"});
    let added = server.ask("POST", "/api/v1/scores", &headers, &score.to_string());
    assert_eq!(added.status, 200);
    let id = added.json()["id"].as_i64().unwrap();
    let listed = server.get("/api/v1/scores?name=right").json();
    assert_eq!((&listed["scores"][0]["id"], &listed["names"][1]), (&json!(id), &json!(["right", 1, 1.0])));
    for wrong in ["", "[]", "{", "{\"name\":\"x\"}", "{\"trace\":1}", &format!("[{}", "[".repeat(60_000))] {
        assert_eq!(server.ask("POST", "/api/v1/scores", &headers, wrong).status, 400, "{wrong:.20}");
    }
    assert_eq!(server.ask("POST", "/api/v1/scores", &headers, &" ".repeat(70_000)).status, 413);
    assert_eq!(server.ask("DELETE", &format!("/api/v1/scores/{id}"), &headers, "").status, 200);
    assert_eq!(server.ask("DELETE", &format!("/api/v1/scores/{id}"), &headers, "").status, 404);
    assert_eq!(server.ask("DELETE", "/api/v1/scores/1%20OR%201", &headers, "").status, 404);
}

#[test]
fn answers_are_compressed_and_files_remembered() {
    let server = Server::new(|_| {});
    let path = format!("/api/v1/traces/{}", trace_id(1));
    let plain = server.get(&path);
    let packed = server.ask("GET", &path, &[("Accept-Encoding", "br, gzip;q=0.5")], "");
    assert_eq!(packed.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut text).unwrap();
    assert!(text == plain.body && packed.body.len() < plain.body.len());
    let refused = server.ask("GET", &path, &[("Accept-Encoding", "gzip;q=0")], "");
    assert!(!refused.headers.contains_key("content-encoding"));
    let page = server.get("/");
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let again = server.ask("GET", "/", &[("If-None-Match", &page.headers["etag"])], "");
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn a_trace_can_be_taken_along() {
    let server = Server::new(|_| {});
    let hostile = "</pre><script>alert(1)</script>";
    seed(1, 30, 1, Kind::Tool, hostile)
        .body(&json!({"attributes": {"a": hostile}}))
        .insert(&server.database.connection);
    let path = format!("/api/v1/traces/{}/export", trace_id(1));
    let otlp = server.get(&path);
    assert_eq!(otlp.headers["content-disposition"], format!("attachment; filename=\"trace-{}.json\"", trace_id(1)));
    let spans = otlp.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
    assert_eq!(spans.as_array().unwrap().len(), 9);
    assert_eq!(spans[3]["status"]["code"], 2);
    assert_eq!(spans[3]["events"][0]["name"], "exception");
    let lines = String::from_utf8(server.get(&format!("{path}?format=jsonl")).body).unwrap();
    assert!(lines.lines().count() == 9 && lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let page = server.get(&format!("{path}?format=html"));
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;alert(1)"));
    assert!(page.headers["content-disposition"].starts_with("attachment"));
    assert_eq!(server.get(&format!("{path}?format=exe")).status, 400);
}

#[test]
fn the_stream_tells_what_happens_and_goes_on_where_it_was() {
    let server = Server::new(|_| {});
    let follow = |last: &str| {
        let mut stream = server.connect();
        let last = if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
        write!(stream, "GET /api/v1/live?q=name:new HTTP/1.1\r\nHost: {}\r\n{last}\r\n", server.host()).unwrap();
        BufReader::new(stream)
    };
    // The next event: its name, its data and its id.
    let next = |reader: &mut BufReader<TcpStream>| {
        let (mut name, mut data, mut id, mut line) = (String::new(), Value::Null, String::new(), String::new());
        loop {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.trim().to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).unwrap();
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim().to_owned();
            } else if line.trim().is_empty() && !name.is_empty() {
                return (name, data, id);
            }
        }
    };
    let mut reader = follow("");
    let hello = next(&mut reader);
    assert_eq!((hello.0.as_str(), hello.1["cursor"].as_str().unwrap()), ("hello", hello.2.as_str()));
    seed(2, 50, 0, Kind::Agent, "new").announce(&server.database.connection, true);
    assert_eq!(next(&mut reader).0, "open");
    assert_eq!(next(&mut reader).0, "trace");
    server.database.connection.execute("DELETE FROM open_span", []).unwrap();
    seed(3, 51, 0, Kind::Agent, "other").insert(&server.database.connection);
    seed(2, 50, 0, Kind::Agent, "new").insert(&server.database.connection);
    let end = next(&mut reader);
    assert_eq!((end.0.as_str(), end.1["id"].as_str().unwrap()), ("end", span_id(50).as_str()));
    let trace = next(&mut reader);
    assert_eq!((trace.0.as_str(), trace.1["status"].as_str().unwrap()), ("trace", "ok"));
    drop(reader);
    let mut again = follow(&hello.2);
    assert_eq!(next(&mut again).0, "hello");
    assert_eq!(next(&mut again).1["id"], span_id(50));
}

#[test]
fn held_connections_make_room_for_those_that_ask() {
    let server = Server::new(|_| {});
    let held: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = server.connect();
            let part = if number % 2 == 0 { "GET / HT" } else { "" };
            let _ = stream.write_all(part.as_bytes());
            stream
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(server.get("/api/v1/status").status, 200);
    }
    drop(held);
}

#[test]
fn requests_that_are_none_are_refused_or_closed() {
    let server = Server::new(|_| {});
    let host = server.host();
    let big = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let both = format!(
        "POST /api/v1/scores HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    );
    for request in [
        big.as_bytes(),
        many.as_bytes(),
        both.as_bytes(),
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
    ] {
        if let Some(answer) = server.send(request) {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
    }
    assert_eq!(server.get("/api/v1/status").status, 200);
}

#[test]
fn files_for_work_on_the_page_come_from_their_folder_only() {
    let folder = Folder::new();
    folder.file("index.html", "mine");
    folder.file(".secret.html", "no");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", folder.0.join("link.js")).unwrap();
    let path = folder.0.clone();
    let server = Server::new(|options| options.ui = Some(path));
    assert_eq!(server.get("/").body, b"mine");
    for wrong in ["/ui/.secret.html", "/ui/link.js", "/ui/../index.html", "/ui/..%2findex.html", "/ui/none.js", "/ui/"]
    {
        assert_eq!(server.get(wrong).status, 404, "{wrong}");
    }
}

#[test]
fn a_stopped_server_lets_go_of_its_port() {
    let server = Server::new(|options| options.maintain = Some(Limits::default()));
    assert_eq!(server.get("/api/v1/status").json()["traces"], 1);
    let address = server.served.address;
    server.served.stop();
    assert!(TcpStream::connect(address).is_err());
}
