//! `RunTable`: the open runs of the process, and the doors by which a run leaves: its end callback; the death of the
//! framework's own run id object, which lives exactly as long as the run (a cancelled coroutine sends no callback); the
//! idle limit; the cap.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyWeakrefReference};

use super::begin;
use super::run::{Run, key_of};
use crate::ledger::PROCESS;
use crate::python::cell::{Attached, Held};
use crate::python::guard::{guard, ok};
use crate::python::settings;
use crate::python::span::Span;
use crate::runs::{CAP, RunKey, Runs};

/// See `_core.pyi`.
#[pyclass(frozen, module = "ironspan._core", name = "RunTable")]
#[derive(Debug)]
pub(crate) struct RunTable {
    runs: Attached<Runs<Py<Run>>>,
    idle_seconds: Option<f64>,
    clock: Option<Py<PyAny>>,
}

/// What the framework's run id calls when it dies.
#[pyclass(frozen)]
struct Death {
    table: Py<RunTable>,
    key: RunKey,
}

#[pymethods]
impl Death {
    #[pyo3(signature = (_reference, /))]
    fn __call__(&self, py: Python<'_>, _reference: &Bound<'_, PyAny>) {
        guard((), || self.table.get().give_up(py, self.key, "cancelled"));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.table)
    }
}

impl RunTable {
    pub(crate) fn fresh(cap: usize, idle_seconds: Option<f64>, clock: Option<Py<PyAny>>) -> Self {
        Self { runs: Attached::new(Runs::new(cap)), idle_seconds, clock }
    }

    fn hold(&self) -> Held<'_, Runs<Py<Run>>> {
        self.runs.hold()
    }

    /// The open run of that key.
    #[inline]
    pub(crate) fn get_run<'py>(&self, py: Python<'py>, key: RunKey) -> Option<Bound<'py, Run>> {
        self.hold().get(key).map(|run| run.bind(py).clone())
    }

    /// The run of that key, open or one of the last to end.
    #[inline]
    pub(crate) fn find_run<'py>(&self, py: Python<'py>, key: RunKey) -> Option<Bound<'py, Run>> {
        self.hold().find(key).map(|run| run.bind(py).clone())
    }

    /// Whether `upper` is `lower` or above it.
    pub(crate) fn is_within(&self, lower: &Run, upper: &Run) -> bool {
        lower.key == upper.key || lower.parent.is_some_and(|parent| self.hold().is_within(parent, upper.key))
    }

    /// Takes out the run of that key; its span is the caller's to end.
    fn take<'py>(&self, py: Python<'py>, key: RunKey) -> Option<Bound<'py, Run>> {
        let run = self.hold().close(key)?.into_bound(py);
        PROCESS.open_runs.fetch_sub(1, Relaxed);
        let watch = run.get().hold().watch.take();
        drop(watch);
        Some(run)
    }

    fn now(&self, py: Python<'_>) -> f64 {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let given = self.clock.as_ref().and_then(|clock| ok(py, clock.bind(py).call0()));
        given.and_then(|now| now.extract().ok()).unwrap_or_else(|| BEGAN.elapsed().as_secs_f64())
    }

    /// Ends the run of that key for a reason that no callback gave.
    fn give_up(&self, py: Python<'_>, key: RunKey, outcome: &str) {
        if let Some(run) = self.take(py, key) {
            self.end(&run, outcome);
        }
    }

    fn end(&self, run: &Bound<'_, Run>, outcome: &str) {
        let span = run.get().own_span(run.py());
        self.keep(run);
        if let Some(span) = span {
            Span::end_span(&span, outcome);
        }
    }

    /// Keeps the context of a run that ended.
    fn keep(&self, run: &Bound<'_, Run>) {
        let this = run.get();
        this.settle();
        let forgotten = self.hold().remember(this.key, this.parent, run.clone().unbind());
        drop(forgotten);
    }

    /// Enters a run that has begun. `run_id` is the framework's object, whose death ends the run.
    pub(crate) fn enter(slf: &Bound<'_, Self>, run: &Bound<'_, Run>, run_id: Option<&Bound<'_, PyAny>>) {
        let (py, table, this) = (slf.py(), slf.get(), run.get());
        let now = table.now(py);
        if let Some(parent) = this.parent {
            table.hold().touch(parent, now);
        }
        if table.hold().wants_sweep(now) {
            table.sweep_at(py, now);
        }
        if let Some(run_id) = run_id.filter(|run_id| !run_id.is_none()) {
            let watch = Bound::new(py, Death { table: slf.clone().unbind(), key: this.key })
                .and_then(|death| PyWeakrefReference::new_with(run_id, death));
            // Texts have no weak references; the table's other doors are for those.
            if let Ok(watch) = watch {
                this.hold().watch = Some(watch.into_any().unbind());
            }
        }
        let before = table.hold().open(this.key, this.parent, run.clone().unbind(), now);
        if before.is_none() {
            PROCESS.open_runs.fetch_add(1, Relaxed);
        }
        drop(before);
    }

    fn sweep_at(&self, py: Python<'_>, now: f64) {
        let idle = self.idle_seconds.unwrap_or_else(|| settings::get(py).config.run_idle.as_secs_f64());
        let gone = self.hold().sweep(now, idle);
        for key in gone {
            self.give_up(py, key, "abandoned");
        }
    }
}

#[pymethods]
impl RunTable {
    #[new]
    #[pyo3(signature = (*, cap = None, idle_seconds = None, clock = None))]
    fn new(cap: Option<usize>, idle_seconds: Option<f64>, clock: Option<Py<PyAny>>) -> Self {
        Self::fresh(cap.unwrap_or(CAP), idle_seconds, clock)
    }

    fn __len__(&self) -> usize {
        self.hold().len()
    }

    #[pyo3(signature = (key, /))]
    fn get<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Run>>> {
        Ok(self.get_run(py, key_of(key)?.0))
    }

    #[pyo3(signature = (key, /))]
    fn find<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Run>>> {
        Ok(self.find_run(py, key_of(key)?.0))
    }

    fn runs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found: Vec<_> = {
            let runs = self.hold();
            runs.keys().into_iter().filter_map(|key| runs.get(key).map(|run| run.bind(py).clone())).collect()
        };
        PyList::new(py, found)
    }

    #[pyo3(signature = (run, /))]
    fn ancestry<'py>(&self, run: &Bound<'py, Run>) -> PyResult<Bound<'py, PyList>> {
        let py = run.py();
        let mut found = vec![run.clone()];
        {
            let runs = self.hold();
            found.extend(runs.above(run.get().parent).filter_map(|key| runs.find(key).map(|run| run.bind(py).clone())));
        }
        PyList::new(py, found)
    }

    #[pyo3(signature = (run, run_id = None, /))]
    fn open(slf: &Bound<'_, Self>, run: &Bound<'_, Run>, run_id: Option<&Bound<'_, PyAny>>) {
        Self::enter(slf, run, run_id);
    }

    #[pyo3(signature = (key, /))]
    fn close<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Run>>> {
        Ok(self.take(py, key_of(key)?.0))
    }

    #[pyo3(signature = (run, outcome = "ok", /))]
    fn finish(&self, run: &Bound<'_, Run>, outcome: &str) {
        self.end(run, outcome);
    }

    /// Begins a run of LangChain. `None` when another handler has begun it already.
    #[pyo3(signature = (verb, subject, run_id, parent_run_id, tags, metadata, /, **payload))]
    #[expect(clippy::too_many_arguments, reason = "what a start callback brings")]
    fn begin<'py>(
        slf: &Bound<'py, Self>,
        verb: &str,
        subject: &Bound<'py, PyAny>,
        run_id: &Bound<'py, PyAny>,
        parent_run_id: Option<&Bound<'py, PyAny>>,
        tags: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
        payload: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, Run>>> {
        begin::begin(slf, &begin::Call { verb, subject, run_id, parent_run_id, tags, metadata, payload })
    }

    /// The run below which one of LangChain begins.
    #[pyo3(signature = (parent_run_id, /))]
    fn above<'py>(
        slf: &Bound<'py, Self>,
        parent_run_id: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, Run>>> {
        begin::above(slf, parent_run_id)
    }

    /// Counts a chunk of a stream. Says whether that was all, or it is the caller's to look at.
    #[pyo3(signature = (key, /))]
    fn chunk(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(run) = self.get_run(py, key_of(key)?.0) else { return Ok(true) };
        let mut state = run.get().hold();
        state.stream.chunks += 1;
        Ok(state.stream.settled)
    }

    fn sweep(&self, py: Python<'_>) {
        self.sweep_at(py, self.now(py));
    }

    /// Drops every open run without ending it: after a fork they are the parent process's to end.
    fn forget(&self, py: Python<'_>) {
        let keys = self.hold().keys();
        for key in keys {
            if let Some(run) = self.take(py, key) {
                self.keep(&run);
            }
        }
    }

    #[pyo3(signature = (key, _reference, /))]
    fn _lost(&self, py: Python<'_>, key: &Bound<'_, PyAny>, _reference: &Bound<'_, PyAny>) {
        guard((), || {
            if let Some((key, _)) = ok(py, key_of(key)) {
                self.give_up(py, key, "cancelled");
            }
        });
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.clock)?;
        if let Some(runs) = self.runs.try_hold() {
            for run in runs.values() {
                visit.call(run)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let runs = std::mem::replace(&mut *self.hold(), Runs::new(CAP));
        drop(runs);
    }
}
