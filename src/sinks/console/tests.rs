//! What is printed, and when.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::io;
use std::sync::Mutex;

use super::*;
use crate::kind::{Kind, Outcome};
use crate::sinks::testing::{Made, counts, delivery, ledger, patience, span};
use crate::sinks::{FlushToken, Sink};

/// Keeps what is written; fails while it is told to.
#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<(String, bool)>>);

impl Output for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut paper = self.0.lock().unwrap();
        if paper.1 {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        paper.0.push_str(str::from_utf8(bytes).unwrap());
        Ok(())
    }

    fn is_terminal(&self) -> bool {
        false
    }
}

struct Desk {
    writer: ConsoleWriter,
    paper: Paper,
    destination: Arc<Destination>,
    ledger: &'static Ledger,
}

fn desk(mode: ConsoleMode) -> Desk {
    let config = ConsoleConfig { mode, colour: Colour::Auto, unicode: true, columns: Some(60) };
    let destination = Arc::new(Destination::new("console", 1 << 20));
    let paper = Paper::default();
    let writer = ConsoleWriter::new(config, Box::new(paper.clone()), Arc::clone(&destination));
    Desk { writer, paper, destination, ledger: ledger() }
}

impl Desk {
    /// Hands spans over and returns what was printed because of them.
    fn send(&mut self, spans: &[Made]) -> String {
        self.writer.write(delivery(spans, &self.destination, self.ledger));
        std::mem::take(&mut self.paper.0.lock().unwrap().0)
    }

    fn finish(&mut self) -> String {
        self.writer.finish();
        std::mem::take(&mut self.paper.0.lock().unwrap().0)
    }
}

const ID: &str = "0000000";

#[test]
fn a_trace_is_printed_when_its_root_ends() {
    let mut desk = desk(ConsoleMode::Tree);
    assert_eq!(desk.send(&[span(2, 1, "look up", 1, 3).kind(Kind::Tool).failed("no net")]), "");
    assert_eq!(desk.send(&[span(3, 1, "look up", 3, 5).kind(Kind::Tool)]), "");
    let text = desk.send(&[span(1, 0, "run", 0, 6)]);
    let expected = "\
run  OK  1 error recovered   6 ms   3 spans   0000000

○ run                               6 ms
└─ ⚙ look up ×2 (1 failed: no net)  4 ms

";
    assert_eq!(text, expected);
    assert_eq!(counts(desk.ledger).delivered, 3);
    assert_eq!(desk.destination.health(), Health::Healthy);
    assert_eq!(desk.finish(), "");
    assert_eq!((desk.writer.bytes, desk.writer.open.len()), (0, 0));
}

#[test]
fn a_summary_is_one_line() {
    let mut desk = desk(ConsoleMode::Summary);
    let text = desk.send(&[span(2, 1, "a", 1, 3), span(1, 0, "run", 0, 6).failed("boom")]);
    assert_eq!(text, format!("run  FAILED  1 error   6 ms   2 spans   {ID}\n"));
}

#[test]
fn traces_that_interleave_are_kept_apart() {
    let mut desk = desk(ConsoleMode::Summary);
    let other = 1_u128 << 127 | 1;
    desk.send(&[span(2, 1, "a", 0, 1), span(12, 11, "x", 0, 1).trace(other), span(13, 11, "y", 0, 1).trace(other)]);
    let text = desk.send(&[span(11, 0, "second", 0, 2).trace(other), span(1, 0, "first", 0, 3)]);
    assert_eq!(text, format!("second  OK   2 ms   3 spans   8000000\nfirst  OK   3 ms   2 spans   {ID}\n"));
}

#[test]
fn spans_that_end_after_their_root_get_a_line() {
    let mut desk = desk(ConsoleMode::Tree);
    desk.send(&[span(1, 0, "run", 0, 6)]);
    let text = desk.send(&[span(2, 1, "clean up", 1, 9).kind(Kind::Tool).failed("disk full")]);
    assert_eq!(text, format!("late   ⚙ clean up ✗ disk full  8 ms  run  {ID}\n"));
    let many: Vec<_> = (10..60).map(|id| span(id, 1, "x", 1, 9)).collect();
    let text = desk.send(&many);
    assert_eq!(text.lines().count(), MAX_LINES + 1);
    assert!(text.ends_with("late   30 more spans\n"), "{text}");
    assert_eq!(counts(desk.ledger).delivered, 52);
    assert_eq!(desk.writer.open.len(), 0);
}

#[test]
fn a_part_of_a_foreign_trace_is_printed_when_its_own_root_ends() {
    let mut desk = desk(ConsoleMode::Tree);
    desk.send(&[span(2, 1, "mine", 0, 1), span(12, 11, "other part", 0, 1)]);
    let text = desk.send(&[span(1, 99, "serve", 0, 2).remote_parent()]);
    assert!(text.starts_with("serve  OK   2 ms   2 spans") && text.contains("└─ ○ mine"), "{text}");
    assert!(!text.contains("other part") && !text.contains("not seen"), "{text}");
    assert!(desk.writer.bytes > 0);
    let text = desk.send(&[span(11, 99, "serve again", 2, 3).remote_parent()]);
    assert!(text.contains("└─ ○ other part"), "{text}");
    assert_eq!((desk.writer.bytes, desk.writer.open.len()), (0, 0));
}

#[test]
fn two_roots_of_one_trace_at_once_are_printed_once_each_at_most() {
    let mut desk = desk(ConsoleMode::Summary);
    let text = desk.send(&[span(1, 0, "one", 0, 2), span(2, 0, "two", 0, 3), span(2, 0, "two again", 0, 3)]);
    assert_eq!(text, format!("one  OK   2 ms   3 spans   {ID}\n"));
    assert_eq!(counts(desk.ledger).delivered, 3);
}

#[test]
fn what_has_no_root_at_the_end_is_printed_as_unfinished() {
    let mut desk = desk(ConsoleMode::Tree);
    desk.send(&[span(2, 1, "a", 0, 1), span(3, 2, "b", 0, 1).outcome(Outcome::Cancelled)]);
    let text = desk.finish();
    assert!(text.starts_with("a  UNFINISHED   1 ms   2 spans"), "{text}");
    assert!(text.contains("○ a (parent not seen)") && text.contains("└─ ○ b cancelled"), "{text}");

    for trace in 100..150 {
        desk.send(&[span(2, 1, "a", 0, 1).trace(trace)]);
    }
    assert!(desk.finish().ends_with("and 30 more unfinished traces\n"));
}

#[test]
fn traces_that_never_end_make_room_for_others() {
    let mut desk = desk(ConsoleMode::Tree);
    for trace in 1..=MAX_TRACES as u128 {
        assert_eq!(desk.send(&[span(2, 1, "a", 0, 1).trace(trace)]), "");
    }
    let text = desk.send(&[span(2, 1, "a", 0, 1).trace(5000)]);
    assert_eq!(text, format!("a  UNFINISHED   1 ms   1 span   {ID}\n"));
    assert_eq!(desk.writer.open.len(), MAX_TRACES);
    assert!(!desk.writer.open.contains_key(&TraceId::from_u128(1)));
}

#[test]
fn the_steps_of_one_trace_are_bounded_in_bytes() {
    let mut desk = desk(ConsoleMode::Tree);
    let name = "n".repeat(120);
    let mut sent = 0;
    for part in 0..80 {
        let spans: Vec<_> = (0..500).map(|at| span(2 + part * 500 + at, 1, &name, 0, 1)).collect();
        sent += spans.len() as u64;
        desk.send(&spans);
    }
    let open = desk.writer.open.get(&TraceId::from_u128(1)).unwrap();
    assert!(open.bytes <= MAX_TRACE_BYTES && open.beyond > 0);
    let beyond = open.beyond;
    let text = desk.send(&[span(1, 0, "run", 0, 2)]);
    assert!(text.contains(&format!("   {} spans   ", crate::terminal::format::count(sent + 1))), "{text}");
    assert!(text.contains(&format!("and {beyond} more spans that were not kept\n")), "{text}");
    assert_eq!((desk.writer.bytes, counts(desk.ledger).delivered), (0, sent + 1));
}

#[test]
fn what_could_not_be_printed_is_counted_and_the_next_is_tried() {
    let mut desk = desk(ConsoleMode::Summary);
    desk.paper.0.lock().unwrap().1 = true;
    desk.send(&[span(1, 0, "run", 0, 6)]);
    assert_eq!(desk.destination.health(), Health::Retrying);
    assert!(desk.destination.last_error().unwrap().contains("standard output"));
    let after = counts(desk.ledger);
    assert_eq!((after.delivered, after.dropped_total()), (0, 1));
    desk.paper.0.lock().unwrap().1 = false;
    assert!(desk.send(&[span(1, 0, "run", 0, 6).trace(2)]).starts_with("run  OK"));
    assert_eq!(desk.destination.health(), Health::Healthy);
}

#[test]
fn texts_of_strangers_cannot_write_to_the_terminal() {
    let mut desk = desk(ConsoleMode::Tree);
    let evil = "\x1b]0;owned\x07\r\n\u{202e}";
    let made = span(1, 0, evil, 0, 6).failed(evil).text("session.id", evil).text("gen_ai.request.model", evil);
    let text = desk.send(&[made.clone(), made.trace(2).kind(Kind::Generation)]);
    let late = desk.send(&[span(2, 1, evil, 0, 1).failed(evil)]);
    assert!(late.starts_with("late"), "{late}");
    for character in text.chars().chain(late.chars()) {
        assert!(character == '\n' || !crate::terminal::text::is_deceptive(character), "{text:?} {late:?}");
    }
}

#[test]
fn the_sink_prints_before_a_flush_is_done() {
    let config = ConsoleConfig { mode: ConsoleMode::Summary, colour: Colour::Always, unicode: false, columns: None };
    let destination = Arc::new(Destination::new("console", 1 << 20));
    let paper = Paper::default();
    let writer = ConsoleWriter::new(config, Box::new(paper.clone()), Arc::clone(&destination));
    let ledger = ledger();
    let sink = LocalSink::new("ironspan-term", writer, Arc::clone(&destination), ledger);
    sink.accept(delivery(&[span(1, 0, "run", 0, 6)], &destination, ledger));
    let (token, settled) = FlushToken::pair();
    sink.flush(patience(), token);
    assert_eq!(settled.recv_deadline(patience()), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
    assert!(paper.0.lock().unwrap().0.starts_with("\x1b[1mrun\x1b[0m  \x1b[32mOK\x1b[0m"));
    assert_eq!(counts(ledger).delivered, 1);
}
