//! Lines in files that are full, moved, torn, planted or shared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]

use std::sync::Mutex;

use opentelemetry_proto::tonic::trace::v1::TracesData;
use proptest::prelude::*;

use super::*;
use crate::config::testing::Folder;
use crate::sinks::testing::{Made, counts, delivery, ledger, patience, span};
use crate::sinks::{FlushToken, Sink};

struct Desk {
    writer: FileWriter,
    destination: Arc<Destination>,
    ledger: &'static Ledger,
}

fn desk(place: impl Lines + 'static) -> Desk {
    let destination = Arc::new(Destination::new("file", 1 << 20));
    let writer = FileWriter { place: Box::new(place), destination: Arc::clone(&destination) };
    Desk { writer, destination, ledger: ledger() }
}

impl Desk {
    fn send(&mut self, names: &[&str]) {
        let spans: Vec<Made> = names.iter().zip(1..).map(|(name, id)| span(id, 0, name, 0, 1)).collect();
        self.writer.write(delivery(&spans, &self.destination, self.ledger));
    }
}

/// Names of the spans in each line that another reader of OTLP JSON accepts; a broken line is empty.
fn lines(text: &str) -> Vec<Vec<String>> {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let names = |line: &str| {
        let data: TracesData = serde_json::from_str(line).unwrap_or_default();
        let scopes = data.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(|span| span.name).collect()
    };
    text.lines().map(names).collect()
}

fn read(path: &Path) -> Vec<Vec<String>> {
    lines(&fs::read_to_string(path).unwrap())
}

#[test]
fn each_batch_is_a_line_that_a_receiver_can_read() {
    let folder = Folder::new();
    let path = folder.0.join("traces.jsonl");
    let mut desk = desk(Appended::new(path.clone()));
    desk.send(&["a", "line\nfeed é \u{1b}"]);
    desk.send(&["c"]);
    assert_eq!(read(&path), [vec!["a", "line\nfeed é \u{1b}"], vec!["c"]]);
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.starts_with(r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","#), "{first}");
    assert_eq!(counts(desk.ledger).delivered, 3);
    assert_eq!(desk.destination.health(), Health::Healthy);
}

#[test]
fn an_existing_file_is_appended_to() {
    let folder = Folder::new();
    let path = folder.file("traces.jsonl", "{\"resourceSpans\":[]}\n");
    desk(Appended::new(path.clone())).send(&["a"]);
    desk(Appended::new(path.clone())).send(&["b"]);
    assert_eq!(read(&path), [vec![], vec!["a"], vec!["b"]]);
}

#[test]
fn a_line_that_a_killed_writer_left_is_closed_first() {
    let folder = Folder::new();
    let path = folder.file("traces.jsonl", r#"{"resourceSp"#);
    let mut desk = desk(Appended::new(path.clone()));
    desk.send(&["a"]);
    desk.send(&["b"]);
    assert_eq!(read(&path), [vec![], vec!["a"], vec!["b"]]);
}

#[test]
fn a_moved_or_deleted_file_is_made_anew() {
    let folder = Folder::new();
    let path = folder.0.join("traces.jsonl");
    let mut desk = desk(Appended::new(path.clone()));
    desk.send(&["a"]);
    fs::rename(&path, folder.0.join("old.jsonl")).unwrap();
    desk.send(&["b"]);
    fs::remove_file(&path).unwrap();
    desk.send(&["c"]);
    assert_eq!(read(&folder.0.join("old.jsonl")), [["a"]]);
    assert_eq!(read(&path), [["c"]]);
    assert_eq!(counts(desk.ledger).delivered, 3);
}

#[test]
#[cfg(unix)]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let path = folder.0.join("traces.jsonl");
    desk(Appended::new(path.clone())).send(&["a"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
#[cfg(unix)]
fn links_folders_and_pipes_are_not_written_to() {
    let folder = Folder::new();
    let target = folder.file("target", "kept");
    let link = folder.0.join("link.jsonl");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let directory = folder.0.join("folder.jsonl");
    fs::create_dir(&directory).unwrap();
    let pipe = folder.0.join("pipe.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [link, directory, pipe, folder.0.join("no/folder.jsonl")] {
        let mut desk = desk(Appended::new(path.clone()));
        desk.send(&["a", "b"]);
        let after = counts(desk.ledger);
        assert_eq!((after.delivered, after.dropped[DropReason::Failed as usize]), (0, 2), "{}", path.display());
        assert_eq!(desk.destination.health(), Health::Retrying);
        assert!(desk.destination.last_error().unwrap().starts_with(&*path.to_string_lossy()));
    }
    assert_eq!(fs::read_to_string(target).unwrap(), "kept");
}

#[test]
fn a_place_that_comes_back_is_used_again() {
    let folder = Folder::new();
    let path = folder.0.join("later/traces.jsonl");
    let mut desk = desk(Appended::new(path.clone()));
    desk.send(&["a"]);
    fs::create_dir(folder.0.join("later")).unwrap();
    desk.send(&["b"]);
    assert_eq!(read(&path), [["b"]]);
    assert_eq!(desk.destination.health(), Health::Healthy);
}

/// A disk that takes `room` bytes, some at a time; `other` is appended by somebody else once ours is full.
#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    room: usize,
    at_once: usize,
    other: &'static [u8],
}

impl Storage for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.at_once).min(self.room.saturating_sub(self.bytes.len()));
        if fits == 0 {
            self.bytes.extend(std::mem::take(&mut self.other));
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.extend(&bytes[..fits]);
        Ok(fits)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_full_disk_holds_whole_lines_only(
        room in 0_usize..200,
        at_once in 1_usize..40,
        lengths in proptest::collection::vec(1_usize..60, 1..12),
    ) {
        let mut disk = Disk { room, at_once, ..Disk::default() };
        let mut expected = Vec::<u8>::new();
        for (length, letter) in lengths.into_iter().zip(b'a'..) {
            let mut line = vec![letter; length];
            line.push(b'\n');
            let mut is_torn = false;
            let fits = expected.len() + line.len() <= room;
            prop_assert_eq!(append_whole(&mut disk, &line, &mut is_torn).is_ok(), fits);
            prop_assert!(!is_torn);
            if fits {
                expected.extend(&line);
            }
            prop_assert_eq!(&disk.bytes, &expected);
        }
    }
}

#[test]
fn what_somebody_else_appended_is_never_cut() {
    let mut disk = Disk { bytes: b"x\n".to_vec(), room: 5, at_once: 9, other: b"theirs\n" };
    let mut is_torn = false;
    append_whole(&mut disk, b"ours\n", &mut is_torn).unwrap_err();
    assert_eq!(disk.bytes, b"x\nourtheirs\n");
    assert!(is_torn);
}

/// A stream that fails every second time, after half of the bytes.
#[derive(Debug, Default)]
struct Faulty(Arc<Mutex<Vec<u8>>>, bool);

impl Output for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes == b"\n" {
            self.0.lock().unwrap().extend(bytes);
            return Ok(());
        }
        self.1 = !self.1;
        let end = if self.1 { bytes.len() / 2 } else { bytes.len() };
        self.0.lock().unwrap().extend(&bytes[..end]);
        if self.1 { Err(io::Error::from(io::ErrorKind::BrokenPipe)) } else { Ok(()) }
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

#[test]
fn a_torn_line_of_a_stream_is_closed_before_the_next() {
    let output = Faulty::default();
    let written = Arc::clone(&output.0);
    let mut desk = desk(Stream { output: Box::new(output), is_torn: false });
    for name in ["a", "b", "c", "d"] {
        desk.send(&[name]);
    }
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(lines(&text), [vec![], vec!["b"], vec![], vec!["d"]]);
    let after = counts(desk.ledger);
    assert_eq!((after.delivered, after.dropped_total()), (2, 2));
}

/// Not a test of its own: what the child process of the next one does, under a limit on the size of files.
#[test]
#[cfg(unix)]
fn child_writes_until_the_file_is_full() {
    let Some(path) = std::env::var_os("IRONSPAN_TEST_FILE") else { return };
    let destination = Arc::new(Destination::new("file", 1 << 20));
    let ledger = ledger();
    let config = FileConfig { target: FileTarget::Path(path.into()), dialects: None };
    let sink = sink(&config, Arc::clone(&destination), ledger);
    for _ in 0..40 {
        sink.accept(delivery(&[span(1, 0, &"x".repeat(3000), 0, 1)], &destination, ledger));
    }
    let (token, settled) = FlushToken::pair();
    sink.flush(patience(), token);
    assert_eq!(settled.recv_deadline(patience()), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    let after = counts(ledger);
    assert_eq!(after.pending, 0);
    assert_eq!(after.delivered + after.dropped[DropReason::Failed as usize], 40);
    assert!(destination.last_error().unwrap().contains("File too large"));
    std::process::exit(i32::try_from(after.delivered).unwrap());
}

#[test]
#[cfg(unix)]
fn a_real_file_that_is_full_holds_exactly_the_delivered_lines() {
    let folder = Folder::new();
    let path = folder.0.join("traces.jsonl");
    // The limit is in blocks of 512 or 1024 bytes, whichever the shell counts in: 16 or 32 KiB.
    let script = "ulimit -f 32 && exec \"$0\" --exact sinks::file::tests::child_writes_until_the_file_is_full";
    let status = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("IRONSPAN_TEST_FILE", &path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    let written = read(&path);
    assert_eq!(status.code(), Some(i32::try_from(written.len()).unwrap()));
    assert!((4..=10).contains(&written.len()), "{}", written.len());
    assert!(written.iter().all(|names| names.len() == 1));
}
