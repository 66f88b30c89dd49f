//! Life-cycle from Python: `configure` (behind `init`), `flush`, `shutdown`, `stats`, and the hooks for exit and fork.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config::{Config, ProcessEnvironment};
use crate::engine::{self, Engine, Setup, Waiting};
use crate::ledger::{CountsSnapshot, DropReason, PROCESS};
use crate::python::guard::{guard, ok};
use crate::python::settings::{self, Settings};
use crate::python::{convert, errors, options, report};
use crate::sinks;

/// How long a fork waits for our threads to leave.
const PARK: Duration = Duration::from_millis(100);
/// The longest wait that can be asked for, in seconds: a day.
const LONGEST: f64 = 86_400.0;
/// How often a wait looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// What a flush or shutdown found. See `_core.pyi`.
#[pyclass(frozen, module = "ironspan", name = "Report")]
#[derive(Clone, Debug)]
pub(crate) struct Report {
    counts: CountsSnapshot,
    in_time: bool,
}

#[pymethods]
impl Report {
    #[getter]
    fn created(&self) -> u64 {
        self.counts.created
    }

    #[getter]
    fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    #[getter]
    fn rejected(&self) -> u64 {
        self.counts.rejected
    }

    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dropped(py, &self.counts)
    }

    #[getter]
    fn pending(&self) -> i64 {
        self.counts.pending
    }

    #[getter]
    fn in_time(&self) -> bool {
        self.in_time
    }

    fn __bool__(&self) -> bool {
        self.in_time && self.counts.pending == 0 && self.counts.rejected == 0 && self.counts.dropped_total() == 0
    }

    fn __repr__(&self) -> String {
        format!(
            "<ironspan.Report created={} delivered={} rejected={} dropped={} pending={}{}>",
            self.counts.created,
            self.counts.delivered,
            self.counts.rejected,
            self.counts.dropped_total(),
            self.counts.pending,
            if self.in_time { "" } else { " timed out" }
        )
    }
}

fn dropped<'py>(py: Python<'py>, counts: &CountsSnapshot) -> PyResult<Bound<'py, PyDict>> {
    let reasons = PyDict::new(py);
    for (reason, count) in DropReason::ALL.iter().zip(counts.dropped).filter(|(_, count)| *count > 0) {
        reasons.set_item(reason.name(), count)?;
    }
    Ok(reasons)
}

fn seconds(timeout: Option<&Bound<'_, PyAny>>, otherwise: Duration) -> Duration {
    timeout
        .filter(|timeout| !timeout.is_none())
        .and_then(|timeout| timeout.extract::<f64>().ok())
        .filter(|timeout| !timeout.is_nan())
        .map_or(otherwise, |timeout| Duration::from_secs_f64(timeout.clamp(0.0, LONGEST)))
}

/// Waits without the interpreter lock, looking for Ctrl-C now and then: a second one must end a blocked flush.
fn wait(py: Python<'_>, waiting: &Waiting, deadline: Instant) -> PyResult<bool> {
    loop {
        let slice = deadline.min(Instant::now() + LOOK);
        if py.detach(|| waiting.until(slice)) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        py.check_signals()?;
    }
}

/// `ironspan.flush`.
#[pyfunction]
#[pyo3(signature = (timeout = None))]
pub(crate) fn flush(py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Report> {
    let deadline = Instant::now() + seconds(timeout, Duration::from_secs(5));
    let in_time = match engine::current() {
        Some(engine) => match guard(None, || Some(py.detach(|| engine.begin_flush(deadline)))) {
            Some(waiting) => wait(py, &waiting, deadline)?,
            None => false,
        },
        None => true,
    };
    guard((), || report::losses(py, false));
    Ok(Report { counts: PROCESS.spans.snapshot(), in_time })
}

/// `ironspan.shutdown`.
#[pyfunction]
#[pyo3(signature = (timeout = None))]
pub(crate) fn shutdown(py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Report> {
    engine::set_closed(true);
    let in_time = match engine::replace(None) {
        Some(engine) => {
            let deadline = Instant::now() + seconds(timeout, settings::get(py).config.shutdown_timeout);
            close(py, engine, deadline)?
        }
        None => true,
    };
    guard((), || report::losses(py, true));
    Ok(Report { counts: PROCESS.spans.snapshot(), in_time })
}

/// Shuts one engine down. What it could not settle by `deadline` is counted as dropped by its sinks.
fn close(py: Python<'_>, engine: &'static Engine, deadline: Instant) -> PyResult<bool> {
    let Some(waiting) = guard(None, || Some(py.detach(|| engine.begin_shutdown(deadline)))) else { return Ok(false) };
    // A little more than the deadline, for the sinks to settle what they give up at the deadline.
    let waited = wait(py, &waiting, deadline + LOOK);
    guard((), || py.detach(|| engine.end_shutdown()));
    waited
}

/// At the end of the process, and of a child process of `multiprocessing`.
#[pyfunction]
pub(crate) fn _at_exit(py: Python<'_>) -> PyResult<()> {
    shutdown(py, None).map(drop)
}

/// `ironspan.stats`.
#[pyfunction]
pub(crate) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let counts = PROCESS.spans.snapshot();
    let stats = PyDict::new(py);
    stats.set_item("created", counts.created)?;
    stats.set_item("delivered", counts.delivered)?;
    stats.set_item("rejected", counts.rejected)?;
    stats.set_item("dropped", dropped(py, &counts)?)?;
    stats.set_item("pending", counts.pending)?;
    stats.set_item("open_spans", PROCESS.open_spans.load(Relaxed))?;
    stats.set_item("open_runs", PROCESS.open_runs.load(Relaxed))?;
    stats.set_item("internal_errors", PROCESS.internal_errors.load(Relaxed))?;
    stats.set_item("late_calls", PROCESS.late_calls.load(Relaxed))?;
    let engine = engine::current();
    stats.set_item("buffer_bytes", engine.map_or(0, Engine::buffer_bytes))?;
    let destinations = PyDict::new(py);
    for destination in engine.map_or(&[][..], Engine::destinations) {
        let counts = destination.spans.snapshot();
        let entry = PyDict::new(py);
        entry.set_item("accepted", counts.created)?;
        entry.set_item("delivered", counts.delivered)?;
        entry.set_item("rejected", counts.rejected)?;
        entry.set_item("dropped", dropped(py, &counts)?)?;
        entry.set_item("pending", counts.pending)?;
        entry.set_item("health", destination.health().name())?;
        entry.set_item("last_error", destination.last_error())?;
        destinations.set_item(&destination.name, entry)?;
    }
    stats.set_item("destinations", destinations)?;
    Ok(stats)
}

/// Behind `ironspan.init`: resolves the options, ends the engine before, and builds the new one.
#[pyfunction]
#[pyo3(signature = (options, /))]
pub(crate) fn configure(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<()> {
    let (options, memories) = options::read(py, options).map_err(|error| error.into_python(py))?;
    let (config, warnings) =
        Config::resolve(&options, &ProcessEnvironment).map_err(|error| errors::config_error(py, &error))?;
    let settings = Settings { config, memories };
    // Built before anything changes, so that an unreadable certificate leaves the present engine at work.
    let built = build(&settings).map_err(|error| errors::config_error(py, &error))?;
    let settings = settings::install(settings);
    settings::tell(py, &warnings);
    engine::set_closed(settings.config.disabled);
    let before = engine::replace(if settings.config.disabled { None } else { Some(built) });
    install_hooks(py);
    if let Some(engine) = before {
        close(py, engine, Instant::now() + settings.config.shutdown_timeout)?;
    }
    Ok(())
}

/// Builds the engine at the first span of a process that never called `init()`, or of the child of a fork.
pub(crate) fn start(py: Python<'_>) -> Option<&'static Engine> {
    let settings = settings::get(py);
    if settings.config.disabled {
        engine::set_closed(true);
        return None;
    }
    match build(settings) {
        Ok(engine) => {
            let engine = engine::install_first(engine);
            install_hooks(py);
            // Who keeps no trace at all misses no destination.
            if engine.destinations().is_empty() && !settings.config.sampler.never_starts() {
                report::no_destination(py);
            }
            Some(engine)
        }
        Err(error) => {
            // A certificate that the environment names and that cannot be read: said once, spans stay off.
            report::warn(py, &error.to_string());
            engine::set_closed(true);
            None
        }
    }
}

fn build(settings: &Settings) -> Result<Engine, crate::config::ConfigError> {
    let config = &settings.config;
    convert::set_limits(&config.limits);
    Ok(Engine::new(Setup {
        ledger: &PROCESS,
        resource: config.resource.detect(),
        limits: (&config.limits).into(),
        sampler: config.sampler,
        // Masking comes later; until then `redacted` keeps less and not more.
        without_content: config.capture != crate::config::Capture::Full,
        byte_limit: config.limits.buffer_bytes,
        record_limit: config.batch.max_queue_size,
        sinks: sinks::build::from_config(config, &settings.memories, &PROCESS)?,
    }))
}

/// Exit, fork and thread hooks, in Python because that is where they hook in. A failure there costs the hook only.
fn install_hooks(py: Python<'_>) {
    let installed = super::helper(py, "ironspan._hooks", "install").and_then(|install| install.call0());
    drop(ok(py, installed));
}

/// Before `os.fork`: our threads leave.
#[pyfunction]
pub(crate) fn _before_fork(py: Python<'_>) {
    guard((), || {
        if let Some(engine) = engine::current() {
            py.detach(|| engine.park(Instant::now() + PARK));
        }
    });
}

/// After `os.fork`, in the parent: they come back.
#[pyfunction]
pub(crate) fn _after_fork_in_parent(py: Python<'_>) {
    guard((), || {
        if let Some(engine) = engine::current() {
            py.detach(|| engine.resume());
        }
    });
}

/// Counts a fault that Python code of ours caught.
#[pyfunction]
#[pyo3(signature = (what = None, /))]
pub(crate) fn _count_internal_error(what: Option<&Bound<'_, PyAny>>) {
    // What failed is for a debugger; the counter is what stats() shows.
    let _ = what;
    PROCESS.internal_error();
}

/// Whether threads and executors inherit the current span.
#[pyfunction]
pub(crate) fn _thread_propagation(py: Python<'_>) -> bool {
    settings::get(py).config.thread_propagation
}
