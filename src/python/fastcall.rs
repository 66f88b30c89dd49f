//! The verbs: `span`, `workflow`, `agent`, `generation`, `retrieval`, `embedding`, `tool`.
//!
//! They are raw vectorcall functions, because the usual way through a dict of keywords costs more than the span itself
//! (native-core, 1.1). One function serves all; a table says which keywords a verb takes and where each goes.

#![allow(unsafe_code, reason = "a vectorcall function takes raw pointers, valid for the call")]

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyString, PyTuple};

use crate::alloc;
use crate::engine::{self, Engine};
use crate::keys::Key;
use crate::kind::{Kind, SpanKind};
use crate::ledger::{DropReason, Loss, PROCESS};
use crate::python::cell::Attached;
use crate::python::context::ambient_of;
use crate::python::guard::guard;
use crate::python::span::{Parent, Span, link_entry, put_unshared};
use crate::python::verbs::{COMMON, Target, VERBS, Verb};
use crate::record::Record;

/// Interned names of the keywords, in the order of a verb's own keywords and then the common ones: keywords of a call
/// are interned too, so that comparing pointers is enough.
struct Table {
    subject: Py<PyString>,
    keywords: Vec<(Py<PyString>, Target)>,
}

static TABLES: PyOnceLock<Vec<Table>> = PyOnceLock::new();
static UNSET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes `UNSET` and the tables, and adds the verbs to the module.
pub(crate) fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let tables = VERBS
        .iter()
        .map(|verb| Table {
            subject: PyString::intern(py, verb.subject).unbind(),
            keywords: verb
                .keywords
                .iter()
                .chain(&COMMON)
                .map(|(name, target)| (PyString::intern(py, name).unbind(), *target))
                .collect(),
        })
        .collect();
    let _ = TABLES.set(py, tables);
    let unset = Bound::new(py, Unset)?;
    module.add("UNSET", &unset)?;
    let _ = UNSET.set(py, unset.into_any().unbind());
    for definition in &DEFINITIONS {
        // SAFETY: the definition is static, as CPython requires.
        let function = unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyCFunction_NewEx(
                    std::ptr::from_ref(&definition.0).cast_mut(),
                    std::ptr::null_mut(),
                    PyString::new(py, "ironspan").into_ptr(),
                ),
            )?
        };
        let function = function.cast_into::<PyCFunction>()?;
        module.add(function.getattr("__name__")?.cast_into::<PyString>()?, function)?;
    }
    Ok(())
}

/// The value of an argument that was not given.
#[pyclass(frozen, module = "ironspan", name = "Unset")]
#[derive(Debug)]
pub(crate) struct Unset;

#[pymethods]
#[expect(clippy::unused_self, reason = "Python calls them on the instance")]
impl Unset {
    fn __repr__(&self) -> &'static str {
        "UNSET"
    }

    fn __bool__(&self) -> bool {
        false
    }

    fn __reduce__(&self) -> &'static str {
        "UNSET"
    }
}

/// A method definition that is never written after the library is loaded.
pub(crate) struct Definition(pub(crate) ffi::PyMethodDef);

// SAFETY: CPython only reads it.
unsafe impl Sync for Definition {}

macro_rules! definitions {
    ($($index:literal $name:literal $function:ident $doc:literal;)*) => {
        $(
            unsafe extern "C" fn $function(
                _module: *mut ffi::PyObject,
                arguments: *const *mut ffi::PyObject,
                count: ffi::Py_ssize_t,
                keywords: *mut ffi::PyObject,
            ) -> *mut ffi::PyObject {
                unsafe { call($index, arguments, count, keywords) }
            }
        )*

        static DEFINITIONS: [Definition; VERBS.len()] = [$(Definition(ffi::PyMethodDef {
            ml_name: $name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: $function },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: $doc.as_ptr(),
        })),*];
    };
}

definitions! {
    0 c"span" span_entry c"span(name, *, kind='span', input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA step of a run.";
    1 c"workflow" workflow_entry c"workflow(name, *, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA run that coordinates agents or steps.";
    2 c"agent" agent_entry c"agent(name, *, role=None, description=None, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nOne turn of an agent.";
    3 c"generation" generation_entry c"generation(model, *, provider=None, messages=..., params=None, tools=None, prompt=None, name=None, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA call of a language model.";
    4 c"retrieval" retrieval_entry c"retrieval(query, *, source=None, top_k=None, name=None, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA search for documents.";
    5 c"embedding" embedding_entry c"embedding(model, *, provider=None, params=None, name=None, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA call of an embedding model.";
    6 c"tool" tool_entry c"tool(name, *, arguments=..., call_id=None, description=None, input=..., attributes=None, tags=(), parent=None, links=(), otel_kind=None)\n--\n\nA tool that runs.";
}

/// # Safety
/// Called by Python: `arguments` holds `count` positional values and then one per name in `keywords` (null or a tuple).
unsafe fn call(
    verb: usize,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls us attached.
    let py = unsafe { Python::assume_attached() };
    let made = guard(None, || {
        let positional = usize::try_from(count).unwrap_or(0);
        // SAFETY: as promised by the caller.
        let (arguments, names) = unsafe {
            let names =
                Bound::from_borrowed_ptr_or_opt(py, keywords).and_then(|names| names.cast_into::<PyTuple>().ok());
            let total = positional + names.as_ref().map_or(0, PyTupleMethods::len);
            let arguments = if total == 0 { &[] } else { std::slice::from_raw_parts(arguments, total) };
            (arguments, names)
        };
        Some(make(py, verb, positional, arguments, names.as_ref()))
    });
    match made {
        Some(Ok(object)) => object.into_ptr(),
        // A wrong call is the program's to know of; that there was no memory for a span is not.
        Some(Err(error)) if !error.is_instance_of::<PyMemoryError>(py) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        // A fault of ours: the program gets a span that records nothing.
        _ => match super::noop(py) {
            Ok(span) => span.into_ptr(),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        },
    }
}

/// Arguments of a call, by where they go.
type Matched<'a, 'py> = Vec<(Target, Borrowed<'a, 'py, PyAny>)>;

#[inline]
fn make<'py>(
    py: Python<'py>,
    verb_index: usize,
    positional: usize,
    arguments: &[*mut ffi::PyObject],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(verb) = VERBS.get(verb_index) else { return super::noop(py) };
    // The usual call is short, and its code close together: what is cold has to be fetched.
    if let ([subject], 1, None) = (arguments, positional, names) {
        // SAFETY: a valid object for the call.
        let subject = unsafe { Borrowed::from_ptr(py, *subject) };
        if subject.is_exact_instance_of::<PyString>() {
            return begin(py, verb_index, verb, &subject, &[]);
        }
    }
    make_sorted(py, verb_index, verb, positional, arguments, names)
}

#[inline(never)]
fn make_sorted<'py>(
    py: Python<'py>,
    verb_index: usize,
    verb: &Verb,
    positional: usize,
    arguments: &[*mut ffi::PyObject],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (subject, matched) = sort(py, verb_index, verb, positional, arguments, names)?;
    // `@ironspan.tool` without parentheses.
    if names.is_none() && subject.is_callable() && !subject.is_instance_of::<PyString>() {
        return super::helper(py, "ironspan._decorate", "bare")?.call1((verb.name, subject));
    }
    begin(py, verb_index, verb, &subject, &matched)
}

/// Sorts the arguments of a call. A wrong call is wrong whether spans are on or off.
fn sort<'a, 'py>(
    py: Python<'py>,
    verb_index: usize,
    verb: &Verb,
    positional: usize,
    arguments: &'a [*mut ffi::PyObject],
    names: Option<&Bound<'py, PyTuple>>,
) -> PyResult<(Borrowed<'a, 'py, PyAny>, Matched<'a, 'py>)> {
    let table = TABLES
        .get(py)
        .and_then(|tables| tables.get(verb_index))
        .ok_or_else(|| PyTypeError::new_err("ironspan is not initialised"))?;
    if positional > 1 {
        return Err(PyTypeError::new_err(format!(
            "{}() takes 1 positional argument but {positional} were given",
            verb.name
        )));
    }
    // SAFETY: the pointers are valid objects for the call.
    let argument = |at: usize| arguments.get(at).map(|object| unsafe { Borrowed::from_ptr(py, *object) });
    let mut subject = if positional == 1 { argument(0) } else { None };
    let mut matched = Vec::new();
    for (at, name) in names.into_iter().flat_map(|names| names.iter_borrowed()).enumerate() {
        let value = argument(positional + at);
        if subject.is_none() && same_name(&name, table.subject.bind(py)) {
            subject = value;
            continue;
        }
        let target = table.keywords.iter().find(|(known, _)| name.is(known.bind(py))).or_else(|| {
            // Not interned (built at run time): compare the text.
            table.keywords.iter().find(|(known, _)| same_name(&name, known.bind(py)))
        });
        match (target, value) {
            (Some((_, target)), Some(value)) => matched.push((*target, value)),
            _ => {
                return Err(PyTypeError::new_err(format!(
                    "{}() got an unexpected keyword argument '{}'",
                    verb.name,
                    name.str().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned())
                )));
            }
        }
    }
    let subject = subject.ok_or_else(|| {
        PyTypeError::new_err(format!("{}() missing 1 required positional argument: '{}'", verb.name, verb.subject))
    })?;
    Ok((subject, matched))
}

/// The span of a verb by its name, for callers in Rust: the keywords in a dict, and more beside it. A keyword that the
/// verb does not know is left out.
pub(crate) fn begin_verb<'py>(
    py: Python<'py>,
    verb: &str,
    subject: &Bound<'py, PyAny>,
    keywords: Option<&Bound<'py, PyDict>>,
    more: &[(Target, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let found = VERBS.iter().enumerate().find(|(_, known)| known.name == verb);
    let (Some((index, verb)), Some(tables)) = (found, TABLES.get(py)) else { return super::noop(py) };
    let Some(table) = tables.get(index) else { return super::noop(py) };
    let mut given = more.to_vec();
    for (name, value) in keywords.into_iter().flatten() {
        let target = table.keywords.iter().find(|(known, _)| same_name(&name, known.bind(py)));
        given.extend(target.map(|(_, target)| (*target, value)));
    }
    let matched: Vec<_> = given.iter().map(|(target, value)| (*target, value.as_borrowed())).collect();
    begin(py, index, verb, subject, &matched)
}

/// The span of a call whose arguments are in order.
#[inline]
fn begin<'py>(
    py: Python<'py>,
    verb_index: usize,
    verb: &Verb,
    subject: &Bound<'py, PyAny>,
    matched: &[(Target, Borrowed<'_, 'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let Some(engine) = engine::current() else { return begin_without_engine(py, verb_index, subject, matched) };
    if engine.is_off() || (engine.sampler().never_starts() && matched.is_empty() && !has_parent(py)) {
        return off(py, verb_index, subject, matched);
    }
    if alloc::is_low() {
        return begin_without_memory(py);
    }
    let (record, parent) = build(py, engine, verb, subject, matched);
    let span = Span::fresh(name_of(py, verb, subject, matched), record.kind, Some(record), parent);
    Ok(Bound::new(py, span)?.into_any())
}

#[cold]
fn begin_without_engine<'py>(
    py: Python<'py>,
    verb_index: usize,
    subject: &Bound<'py, PyAny>,
    matched: &[(Target, Borrowed<'_, 'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    if engine::is_closed() {
        return super::after_shutdown(py, || off(py, verb_index, subject, matched));
    }
    // No engine yet, and this may be a decorator on its way to a function, long before `init()`: decided at start.
    put_off(py, verb_index, subject, matched, true)
}

#[cold]
fn begin_without_memory(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    PROCESS.spans.create();
    PROCESS.spans.lose(Loss::Dropped(DropReason::BufferFull), 1);
    super::noop(py)
}

/// Whether a span that starts here would have a parent.
#[inline]
fn has_parent(py: Python<'_>) -> bool {
    super::current::get(py).is_some()
}

/// The subject and the keywords of a call.
type Call = (Py<PyAny>, Vec<(Target, Py<PyAny>)>);

/// How to make a span's record, kept for later.
#[derive(Debug, Default)]
pub(crate) enum Recipe {
    /// There is none: the record exists, or never will.
    #[default]
    None,
    /// A verb and a name.
    Bare(usize, Py<PyString>),
    /// A verb, its subject and keywords.
    Full(usize, Box<Call>),
}

impl Recipe {
    /// Another handle on the same.
    pub(crate) fn share(&self, py: Python<'_>) -> Self {
        match self {
            Self::None => Self::None,
            Self::Bare(verb, name) => Self::Bare(*verb, name.clone_ref(py)),
            Self::Full(verb, full) => {
                let keywords = full.1.iter().map(|(target, value)| (*target, value.clone_ref(py))).collect();
                Self::Full(*verb, Box::new((full.0.clone_ref(py), keywords)))
            }
        }
    }

    /// Makes the record.
    pub(crate) fn cook(&self, py: Python<'_>, engine: &'static Engine) -> Option<(Box<Record>, Parent)> {
        match self {
            Self::None => None,
            Self::Bare(verb, name) => Some(build(py, engine, VERBS.get(*verb)?, name.bind(py), &[])),
            Self::Full(verb, full) => {
                let keywords: Vec<_> =
                    full.1.iter().map(|(target, value)| (*target, value.bind_borrowed(py))).collect();
                Some(build(py, engine, VERBS.get(*verb)?, full.0.bind(py), &keywords))
            }
        }
    }

    /// What a garbage collection has to know.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Self::Full(_, full) = self {
            visit.call(&full.0)?;
            for (_, value) in &full.1 {
                visit.call(value)?;
            }
        }
        Ok(())
    }
}

/// A span that records nothing, kept to be handed out again: while spans are off, the same few names come again and again.
struct Off {
    /// Address of the name, which the span keeps alive.
    name: usize,
    verb: usize,
    span: Py<Span>,
}

const OFF_SPANS: usize = 64;
static OFF: [Attached<Option<Off>>; OFF_SPANS] = [const { Attached::new(None) }; OFF_SPANS];

/// Where a span with that very name object is kept. Objects are 16 bytes apart at least.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a remainder of the length")]
fn off_slot(name: usize) -> &'static Attached<Option<Off>> {
    &OFF[(name >> 4) % OFF_SPANS]
}

/// A span of the verb that will never start.
#[inline]
fn off<'py>(
    py: Python<'py>,
    verb_index: usize,
    subject: &Bound<'py, PyAny>,
    matched: &[(Target, Borrowed<'_, 'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    let name = subject.as_ptr() as usize;
    if matched.is_empty()
        && let Some(kept) = off_slot(name).hold().as_ref()
        && (kept.name, kept.verb) == (name, verb_index)
    {
        return Ok(kept.span.bind(py).clone().into_any());
    }
    put_off(py, verb_index, subject, matched, false)
}

/// A span whose making is put off. One that will never start (`ever` is false) has no state and is shared.
#[inline(never)]
fn put_off<'py>(
    py: Python<'py>,
    verb_index: usize,
    subject: &Bound<'py, PyAny>,
    matched: &[(Target, Borrowed<'_, 'py, PyAny>)],
    ever: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(verb) = VERBS.get(verb_index) else { return super::noop(py) };
    let name = match subject.cast_exact::<PyString>() {
        Ok(name) if matched.is_empty() => name,
        _ => {
            let keywords = matched.iter().map(|(target, value)| (*target, (*value).to_owned().unbind())).collect();
            let recipe = Recipe::Full(verb_index, Box::new((subject.clone().unbind(), keywords)));
            let span = Span::put_off(name_of(py, verb, subject, matched), verb.kind, recipe, ever);
            return Ok(Bound::new(py, span)?.into_any());
        }
    };
    let recipe = Recipe::Bare(verb_index, name.clone().unbind());
    let span = Bound::new(py, Span::put_off(name.clone().unbind(), verb.kind, recipe, ever))?;
    if !ever {
        let address = name.as_ptr() as usize;
        let off = Off { name: address, verb: verb_index, span: span.clone().unbind() };
        let before = off_slot(address).hold().replace(off);
        // Let go of the slot first: the span before may go with it, and with that anything.
        drop(before);
    }
    Ok(span.into_any())
}

/// The span's name in Python: the one given, or the subject.
#[inline]
fn name_of(
    py: Python<'_>,
    verb: &Verb,
    subject: &Bound<'_, PyAny>,
    matched: &[(Target, Borrowed<'_, '_, PyAny>)],
) -> Py<PyString> {
    let given = matched.iter().find(|(target, _)| *target == Target::Name).map(|(_, name)| &**name);
    match given.unwrap_or(subject).cast::<PyString>().or_else(|_| subject.cast::<PyString>()) {
        Ok(name) => name.clone().unbind(),
        Err(_) => PyString::new(py, verb.name).unbind(),
    }
}

#[inline]
fn build(
    py: Python<'_>,
    engine: &'static Engine,
    verb: &Verb,
    subject: &Bound<'_, PyAny>,
    matched: &[(Target, Borrowed<'_, '_, PyAny>)],
) -> (Box<Record>, Parent) {
    let mut record = engine.take_record();
    record.kind = verb.kind;
    put_unshared(&mut record, verb.subject_key, subject);
    let parent = if matched.is_empty() { Parent::Ambient } else { put_matched(py, &mut record, matched) };
    (record, parent)
}

/// Writes the keywords of a call and returns the parent among them.
#[inline(never)]
fn put_matched(py: Python<'_>, record: &mut Record, matched: &[(Target, Borrowed<'_, '_, PyAny>)]) -> Parent {
    let mut parent = Parent::Ambient;
    for (target, value) in matched {
        if value.is_none() && !matches!(target, Target::Payload(Key::Input | Key::Arguments | Key::Messages)) {
            continue;
        }
        if UNSET.get(py).is_some_and(|unset| value.is(unset)) {
            continue;
        }
        match target {
            Target::Payload(key) => put_unshared(record, *key, value),
            Target::Kind => record.kind = known(record, value, Kind::from_name).unwrap_or(record.kind),
            Target::SpanKind => record.span_kind = known(record, value, SpanKind::from_name),
            Target::Name => put_unshared(record, Key::Name, value),
            Target::Parent => match ambient_of(value) {
                Some(ambient) => parent = Parent::Named(Box::new(ambient)),
                None => mark_bad(record, "parent"),
            },
            Target::Links => put_links(record, value),
        }
    }
    parent
}

fn same_name(name: &Bound<'_, PyAny>, known: &Bound<'_, PyString>) -> bool {
    name.is(known) || name.eq(known).unwrap_or(false)
}

/// Reads a word of a fixed set; an unknown one leaves a mark on the span.
fn known<T>(record: &mut Record, value: &Bound<'_, PyAny>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let word = value.cast::<PyString>().ok().and_then(|word| word.to_str().ok());
    let found = word.and_then(|word| read(&word.to_ascii_lowercase()));
    if found.is_none() {
        mark_bad(record, "kind");
    }
    found
}

/// Leaves a mark on the span: an argument could not be used.
pub(crate) fn mark_bad(record: &mut Record, argument: &str) {
    PROCESS.internal_error();
    record.entry(|tape| {
        tape.str("ironspan.bad_argument");
        tape.str(argument);
    });
}

fn put_links(record: &mut Record, links: &Bound<'_, PyAny>) {
    let Ok(links) = links.try_iter() else { return mark_bad(record, "links") };
    for link in links.take(1024).filter_map(Result::ok) {
        // A link, or a pair of link and role.
        let pair = link.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>().ok();
        let role = pair.as_ref().and_then(|(_, role)| role.extract::<String>().ok());
        let target = pair.as_ref().map_or(&link, |(target, _)| target);
        match link_entry(target, role.as_deref()) {
            Some(entry) => {
                record.entry(|tape| {
                    tape.key(Key::Link as u16);
                    tape.extend(entry.as_bytes());
                });
            }
            None => mark_bad(record, "links"),
        }
    }
}
