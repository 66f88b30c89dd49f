//! Losses in the log: one line when loss begins, at most one per ten seconds while it goes on, one when it has ended.
//!
//! Written through the Python logger `ironspan`, from a thread of the application and never from ours.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::fork;
use crate::ledger::{CountsSnapshot, DropReason, PROCESS};
use crate::python::guard::swallow;

/// The shortest time between two lines.
const PERIOD: Duration = Duration::from_secs(10);

struct State {
    epoch: u32,
    reported: u64,
    last: Option<Instant>,
    losing: bool,
}

impl State {
    const fn new(epoch: u32) -> Self {
        Self { epoch, reported: 0, last: None, losing: false }
    }
}

static STATE: Mutex<State> = Mutex::new(State::new(0));
/// Milliseconds since [`START`] before which nobody needs to look: while spans are lost, each one that ends comes here.
static LOOK_AFTER: AtomicU64 = AtomicU64::new(0);
static START: OnceLock<Instant> = OnceLock::new();

thread_local! {
    /// A logging handler may make spans; their end must not log again.
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Lost spans that are news: of a missing destination `no_destination` tells.
fn lost(counts: &CountsSnapshot) -> u64 {
    counts.rejected + counts.dropped_total() - without_destination(counts)
}

fn without_destination(counts: &CountsSnapshot) -> u64 {
    counts.dropped.get(DropReason::NoDestination as usize).copied().unwrap_or(0)
}

fn describe(counts: &CountsSnapshot) -> String {
    let mut parts = Vec::new();
    if counts.rejected > 0 {
        parts.push(format!("{} rejected by a receiver", counts.rejected));
    }
    for (reason, count) in DropReason::ALL.iter().zip(counts.dropped).filter(|(_, count)| *count > 0) {
        if *reason != DropReason::NoDestination {
            parts.push(format!("{count} dropped as {}", reason.name()));
        }
    }
    parts.join(", ")
}

/// The line that is due now, if one is.
fn due(last_call: bool) -> Option<String> {
    let counts = PROCESS.spans.snapshot();
    let lost = lost(&counts);
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if state.epoch != fork::epoch() {
        *state = State::new(fork::epoch());
    }
    let quiet = state.last.is_none_or(|last| last.elapsed() >= PERIOD);
    let mut line = String::new();
    if lost > state.reported {
        if !quiet && !last_call {
            PROCESS.spans.set_news();
            return None;
        }
        let new = lost - state.reported;
        let _ = write!(line, "{new} spans were lost");
        if state.reported > 0 {
            let _ = write!(line, " ({lost} in all)");
        }
        let _ = write!(line, ": {}", describe(&counts));
        state.reported = lost;
        state.losing = true;
        // Somebody has to look again for the end of the loss.
        PROCESS.spans.set_news();
    } else if state.losing && quiet && !last_call {
        state.losing = false;
        let _ = write!(line, "no more spans are being lost; {lost} were lost in all");
    } else {
        if state.losing {
            PROCESS.spans.set_news();
        }
        return None;
    }
    state.last = Some(Instant::now());
    Some(line)
}

/// Writes the line that is due, if one is. `last_call` says that there will be no later moment: the process ends.
#[cold]
pub(crate) fn losses(py: Python<'_>, last_call: bool) {
    let now = u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX);
    if now < LOOK_AFTER.load(Relaxed) && !last_call {
        return;
    }
    LOOK_AFTER.store(now + 100, Relaxed);
    PROCESS.spans.take_news();
    if LOGGING.get() {
        return;
    }
    if let Some(line) = due(last_call) {
        warn(py, &line);
    }
}

/// Said once, when the first span of a process finds that nobody wants it.
#[cold]
pub(crate) fn no_destination(py: Python<'_>) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Relaxed) {
        warn(
            py,
            "spans are not recorded, because no destination is configured; set OTEL_EXPORTER_OTLP_ENDPOINT or \
             IRONSPAN_CONSOLE=tree, or call ironspan.init(exporters=[...])",
        );
    }
}

/// One line on the logger `ironspan`, as a warning.
pub(crate) fn warn(py: Python<'_>, line: &str) {
    LOGGING.set(true);
    let logged = py
        .import("logging")
        .and_then(|logging| logging.call_method1("getLogger", ("ironspan",)))
        .and_then(|logger| logger.call_method1("warning", ("%s", line)));
    LOGGING.set(false);
    if let Err(error) = logged {
        swallow(py, &error);
    }
}
