//! The start of a run of LangChain: where it belongs, which span stands for it, and its entry in the table.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::describe::Facts;
use super::nearest;
use super::run::{Run, Stand, key_of};
use super::table::RunTable;
use crate::ids::SpanId;
use crate::keys::Key;
use crate::python::convert::Written;
use crate::python::fastcall;
use crate::python::frame::Ambient;
use crate::python::span::Span;
use crate::python::verbs::Target;
use crate::runs::RunKey;

/// What a start callback brings. `verb` is what to call for the span; a `workflow` that is no root becomes a `span`,
/// and both become an `agent` where the metadata says so, which may also give the agent another name.
pub(super) struct Call<'a, 'py> {
    pub(super) verb: &'a str,
    pub(super) subject: &'a Bound<'py, PyAny>,
    pub(super) run_id: &'a Bound<'py, PyAny>,
    pub(super) parent_run_id: Option<&'a Bound<'py, PyAny>>,
    pub(super) tags: &'a Bound<'py, PyAny>,
    pub(super) metadata: &'a Bound<'py, PyAny>,
    pub(super) payload: Option<&'a Bound<'py, PyDict>>,
}

/// Where a run belongs.
struct Place<'py> {
    above: Option<Bound<'py, Run>>,
    /// The span that was current: what its body finds, as long as it opens nothing.
    base: SpanId,
    /// Named only where it is not what is nearest in this context anyway, which knows the scopes around the code.
    named: Option<Ambient>,
    /// The framework names a run above that nobody knows.
    orphan: bool,
}

impl<'py> Place<'py> {
    fn of(table: &Bound<'py, RunTable>, parent_run_id: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let py = table.py();
        let base = nearest::span_id(&nearest::own(py));
        let innermost = nearest::innermost(py);
        let Some(parent) = parent_run_id.filter(|parent| !parent.is_none()) else {
            // A run that LangChain calls a root may still be started inside another run's code.
            return Ok(Self { above: innermost, base, named: None, orphan: false });
        };
        let Some(above) = table.get().find_run(py, key_of(parent)?.0) else {
            return Ok(Self { above: innermost, base, named: None, orphan: true });
        };
        let below = nearest::is_below(table.get(), innermost.as_ref(), &above, base);
        let named = if below { None } else { above.get().hold().stand.ambient() };
        Ok(Self { above: Some(above), base, named, orphan: false })
    }

    fn is_root(&self) -> bool {
        self.above.is_none() && !self.orphan
    }

    fn agent(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        let above = self.above.as_ref()?;
        above.get().hold().agent.as_ref().map(|agent| agent.bind(py).clone())
    }

    fn metadata(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        let above = self.above.as_ref()?;
        above.get().hold().metadata.as_ref().map(|metadata| metadata.bind(py).clone())
    }
}

/// The run below which one begins: the one that the framework names, or whose code executes here.
pub(super) fn above<'py>(
    table: &Bound<'py, RunTable>,
    parent_run_id: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, Run>>> {
    let py = table.py();
    let named = match parent_run_id.filter(|parent| !parent.is_none()) {
        Some(parent) => table.get().find_run(py, key_of(parent)?.0),
        None => None,
    };
    Ok(named.or_else(|| nearest::innermost(py)))
}

/// Begins a run, unless it has begun already.
pub(super) fn begin<'py>(table: &Bound<'py, RunTable>, call: &Call<'_, 'py>) -> PyResult<Option<Bound<'py, Run>>> {
    let py = table.py();
    let name = key_of(call.run_id)?;
    if table.get().get_run(py, name.0).is_some() {
        return Ok(None);
    }
    let place = Place::of(table, call.parent_run_id)?;
    let facts = Facts::of(call.tags, call.metadata, place.metadata(py));
    let is_chain = matches!(call.verb, "workflow" | "span" | "agent");
    if is_chain && facts.is_hidden() {
        hide(table, call, name, &place, &facts)?;
        return Ok(None);
    }
    let mut verb = call.verb;
    let mut subject = call.subject.clone();
    let mut agent = place.agent(py);
    let mut role = None;
    if is_chain {
        let is_turn;
        (agent, is_turn) = match facts.agent(call.subject, agent) {
            // The caller knows it to be an agent, and the metadata has no better name for it.
            (_, false) if verb == "agent" => (call.subject.cast::<PyString>().ok().cloned(), true),
            told => told,
        };
        match &agent {
            Some(label) if is_turn => {
                verb = "agent";
                subject = label.clone().into_any();
                role = facts.role();
            }
            _ if !place.is_root() => verb = "span",
            _ => {}
        }
    }
    let role = role.map(|role| (Target::Payload(Key::Role), role.into_any()));
    let made = fastcall::begin_verb(py, verb, &subject, call.payload, role.as_slice())?;
    let span = made.cast_into::<Span>()?;
    span.get().start_under(py, || place.named.clone().unwrap_or_else(|| crate::python::ambient(py)), None);
    if span.get().is_recording() {
        if let Some((attributes, written)) = facts.attributes(verb, agent.as_ref(), place.orphan) {
            span.get().add(Key::Attributes, &attributes, written);
        }
        if let Some(tags) = facts.tags() {
            span.get().add(Key::Tags, &tags, Written::Whole);
        }
    }
    let run = run_of(py, name, &place, Stand::Span(span.unbind()))?;
    {
        let mut state = run.get().hold();
        state.metadata = facts.metadata().map(Bound::unbind);
        state.agent = agent.map(Bound::unbind);
    }
    RunTable::enter(table, &run, Some(call.run_id));
    Ok(Some(run))
}

/// Enters a run that is not shown: what is below it hangs below what it would have hung below itself.
fn hide<'py>(
    table: &Bound<'py, RunTable>,
    call: &Call<'_, 'py>,
    name: (RunKey, Py<PyAny>),
    place: &Place<'py>,
    facts: &Facts<'py>,
) -> PyResult<()> {
    let py = table.py();
    let around = place.named.clone().unwrap_or_else(|| crate::python::ambient(py));
    let stand = if around.context.is_some() { Stand::Context(around) } else { Stand::Nothing };
    let run = run_of(py, name, place, stand)?;
    {
        let mut state = run.get().hold();
        state.owns = false;
        state.metadata = facts.metadata().map(Bound::unbind);
        state.agent = place.agent(py).map(Bound::unbind);
    }
    RunTable::enter(table, &run, Some(call.run_id));
    Ok(())
}

fn run_of<'py>(
    py: Python<'py>,
    name: (RunKey, Py<PyAny>),
    place: &Place<'py>,
    stand: Stand,
) -> PyResult<Bound<'py, Run>> {
    let above = place.above.as_ref().map(|above| above.get().name(py));
    Bound::new(py, Run::begun(name, above, place.base, stand))
}
