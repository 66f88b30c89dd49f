//! Span contexts and carriers: `SpanContext`, `extract`, `inject`, `attach`, `scope`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::context::{Baggage, BaggageEntry, SpanContext};
use crate::ids;
use crate::propagation::{Carrier, Extracted, Headers, Propagators, Repeated, environment};
use crate::python::frame::{Ambient, Change, Frame};
use crate::python::guard::{guard, ok};
use crate::python::span::Span;
use crate::python::{convert, settings};
use crate::record::Scope;
use crate::tape::Tape;

/// Entries of a carrier that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Identity of a span: what a carrier holds. See `_core.pyi`.
#[pyclass(frozen, module = "ironspan", name = "SpanContext", eq)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PySpanContext {
    context: SpanContext,
    baggage: Baggage,
    /// See [`Extracted::deferred`].
    deferred: Option<bool>,
}

impl PySpanContext {
    pub(crate) fn new(context: SpanContext, baggage: Baggage) -> Self {
        Self { context, baggage, deferred: None }
    }

    fn found(found: Extracted) -> Self {
        Self {
            context: found.context.unwrap_or_default(),
            baggage: found.baggage.unwrap_or_default(),
            deferred: found.deferred,
        }
    }

    pub(crate) fn ambient(&self) -> Ambient {
        let scope =
            (!self.baggage.is_empty()).then(|| Arc::new(Scope { baggage: self.baggage.clone(), ..Scope::default() }));
        Ambient { context: Some(self.context.clone()).filter(SpanContext::is_valid), scope, deferred: self.deferred }
    }
}

#[pymethods]
impl PySpanContext {
    #[getter]
    fn trace_id(&self) -> String {
        self.context.trace_id.to_string()
    }

    #[getter]
    fn span_id(&self) -> String {
        self.context.span_id.to_string()
    }

    #[getter]
    fn sampled(&self) -> bool {
        self.context.sampled()
    }

    #[getter]
    fn remote(&self) -> bool {
        self.context.remote
    }

    #[getter]
    fn is_valid(&self) -> bool {
        self.context.is_valid()
    }

    #[getter]
    fn traceparent(&self) -> Option<String> {
        self.context.is_valid().then(|| self.context.traceparent())
    }

    #[getter]
    fn tracestate(&self) -> Option<&str> {
        self.context.trace_state.as_deref()
    }

    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let entries = PyDict::new(py);
        for entry in &self.baggage {
            entries.set_item(&*entry.key, &*entry.value)?;
        }
        Ok(entries)
    }

    fn __bool__(&self) -> bool {
        self.context.is_valid()
    }

    fn __repr__(&self) -> String {
        let text = self.traceparent().unwrap_or_else(|| "invalid".to_owned());
        format!("<ironspan.SpanContext {text}{}>", if self.context.remote { " remote" } else { "" })
    }

    fn __hash__(&self) -> u64 {
        self.context.trace_id.low_u64() ^ self.context.span_id.to_u64()
    }

    /// Travels to other processes as its headers.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyDict>,))> {
        let headers = PyDict::new(py);
        let mut failed = None;
        Propagators::default().inject(Some(&self.context), &self.baggage, &mut |name, value| {
            if let Err(error) = headers.set_item(name, value) {
                failed = Some(error);
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok((super::helper(py, "ironspan._core", "_restore_context")?, (headers,))),
        }
    }
}

/// How `SpanContext` is unpickled: by the W3C headers, whatever formats are configured.
#[pyfunction]
pub(crate) fn _restore_context(headers: &Bound<'_, PyAny>) -> PySpanContext {
    guard(PySpanContext::new(SpanContext::default(), Baggage::new()), || {
        PySpanContext::found(Propagators::default().extract(&read_carrier(headers, 0), None))
    })
}

/// How `Span` is unpickled: as one that stands for it and records nothing.
#[pyfunction]
pub(crate) fn _restore_span(py: Python<'_>, context: &PySpanContext) -> Span {
    Span::stand_in(py, context.ambient())
}

/// The span context that `target` stands for: a span, a context, or the text of a `traceparent`.
pub(crate) fn context_of(target: &Bound<'_, PyAny>) -> Option<SpanContext> {
    if let Ok(span) = target.cast::<Span>() {
        return span.get().ambient().context;
    }
    if let Ok(context) = target.cast::<PySpanContext>() {
        return Some(context.get().context.clone()).filter(SpanContext::is_valid);
    }
    let text = target.cast::<PyString>().ok()?;
    let text = convert::text(text).to_str().into_owned();
    let headers: Headers = [("traceparent", text.as_str())].into_iter().collect();
    Propagators::default().extract(&headers, None).context
}

/// What a named parent stands for, with its scope. `None` when it is nothing that can be one.
pub(crate) fn ambient_of(target: &Bound<'_, PyAny>) -> Option<Ambient> {
    if let Ok(span) = target.cast::<Span>() {
        return Some(span.get().ambient());
    }
    if let Ok(context) = target.cast::<PySpanContext>() {
        return Some(context.get().ambient());
    }
    context_of(target).map(|context| Ambient { context: Some(context), ..Ambient::default() })
}

/// Names and values of a carrier, whatever kind of object it is; nothing of it is trusted.
fn read_carrier(carrier: &Bound<'_, PyAny>, depth: u8) -> Headers {
    let py = carrier.py();
    if carrier.is_none() || depth > 2 {
        return Headers::default();
    }
    if let Ok(dict) = carrier.cast::<PyDict>() {
        let mut headers = Headers::new(Repeated::All);
        for (name, value) in dict.iter().take(MAX_ENTRIES) {
            push(&mut headers, &name, &value);
        }
        return headers;
    }
    // httpx, starlette and werkzeug keep repeated headers in their own containers.
    let pairs = ["multi_items", "items"].into_iter().find_map(|method| {
        let method = carrier.getattr(method).ok()?;
        ok(py, method.call0())
    });
    let is_sequence = carrier.is_instance_of::<PyList>() || carrier.is_instance_of::<PyTuple>();
    let pairs = pairs.or_else(|| is_sequence.then(|| carrier.clone()));
    let Some(pairs) = pairs else {
        // Message properties (AMQP) hold theirs in an attribute.
        return match carrier.getattr("headers") {
            Ok(inner) => read_carrier(&inner, depth + 1),
            Err(_) => Headers::default(),
        };
    };
    let Some(pairs) = ok(py, pairs.try_iter()) else { return Headers::default() };
    let mut read = Vec::new();
    let mut broker = false;
    for pair in pairs.take(MAX_ENTRIES).map_while(|pair| ok(py, pair)) {
        let Ok((name, value)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else { continue };
        broker |= name.is_instance_of::<PyString>() && value.is_instance_of::<PyBytes>();
        read.push((name, value));
    }
    // Text names with values in bytes are a broker's (Kafka), where the last value of a name replaces the others.
    let mut headers = Headers::new(if broker { Repeated::Last } else { Repeated::All });
    for (name, value) in &read {
        push(&mut headers, name, value);
    }
    headers
}

fn bytes_of(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Some(convert::text(text).to_str().into_owned().into_bytes());
    }
    value.cast::<PyBytes>().ok().map(|bytes| bytes.as_bytes().to_vec())
}

fn push(headers: &mut Headers, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
    let Some(name) = bytes_of(name) else { return };
    if let Some(value) = bytes_of(value) {
        headers.push_bytes(&name, Some(&value));
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        for value in value.try_iter().into_iter().flatten().take(64).filter_map(Result::ok) {
            headers.push_bytes(&name, bytes_of(&value).as_deref());
        }
    }
}

fn is_process_environment(carrier: &Bound<'_, PyAny>) -> bool {
    let py = carrier.py();
    py.import("os").and_then(|os| os.getattr("environ")).is_ok_and(|environ| environ.is(carrier))
}

/// `ironspan.extract`.
#[pyfunction]
#[pyo3(signature = (carrier, /))]
pub(crate) fn extract(carrier: &Bound<'_, PyAny>) -> PySpanContext {
    guard(PySpanContext::new(SpanContext::default(), Baggage::new()), || {
        let settings = settings::get(carrier.py());
        let found = if is_process_environment(carrier) {
            let variables = environment::Environment::of_process(&settings.config.propagators);
            settings.config.propagators.extract(&variables, None)
        } else {
            let headers = read_carrier(carrier, 0);
            settings.config.propagators.extract(&headers as &dyn Carrier, None)
        };
        PySpanContext::found(found)
    })
}

/// What `inject` hands on: the context here, or, where spans are never recorded, one that says so.
fn outgoing(py: Python<'_>) -> (Option<SpanContext>, Baggage) {
    let here = super::ambient(py);
    let baggage = here.scope.map(|scope| scope.baggage.clone()).unwrap_or_default();
    let never = settings::get(py).config.sampler.never_starts();
    let context = here.context.or_else(|| {
        never.then(|| SpanContext::new(ids::generate_trace_id(), ids::generate_span_id(), SpanContext::RANDOM))
    });
    (context, baggage)
}

/// `ironspan.inject`.
#[pyfunction]
#[pyo3(signature = (carrier = None, /))]
pub(crate) fn inject<'py>(py: Python<'py>, carrier: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    let carrier = match carrier.filter(|carrier| !carrier.is_none()) {
        Some(carrier) => carrier.clone(),
        None => PyDict::new(py).into_any(),
    };
    guard((), || {
        let settings = settings::get(py);
        let (context, baggage) = outgoing(py);
        let mut pairs: Vec<(String, String)> = Vec::new();
        if is_process_environment(&carrier) {
            environment::inject(&settings.config.propagators, context.as_ref(), &baggage, &mut |name, value| {
                if let Some(value) = value {
                    pairs.push((name.to_owned(), value));
                }
            });
        } else {
            settings.config.propagators.inject(context.as_ref(), &baggage, &mut |name, value| {
                pairs.push((name.to_owned(), value));
            });
        }
        match carrier.cast::<PyList>() {
            Ok(list) => write_list(list, &pairs),
            Err(_) => {
                for (name, value) in &pairs {
                    let _ = ok(py, carrier.set_item(name, value));
                }
            }
        }
    });
    carrier
}

/// Replaces the headers of a list of pairs, in the types that the list has already; `(str, bytes)` when it is empty.
fn write_list(list: &Bound<'_, PyList>, pairs: &[(String, String)]) {
    let py = list.py();
    let first = list.get_item(0).ok().and_then(|pair| pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>().ok());
    let bytes_name = first.as_ref().is_some_and(|(name, _)| name.is_instance_of::<PyBytes>());
    let text_value = first.as_ref().is_some_and(|(_, value)| value.is_instance_of::<PyString>());
    for (name, value) in pairs {
        let mut at = 0;
        while let Ok(pair) = list.get_item(at) {
            let same = pair
                .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
                .is_ok_and(|(key, _)| bytes_of(&key).is_some_and(|key| key.eq_ignore_ascii_case(name.as_bytes())));
            if same && list.del_item(at).is_ok() {
                continue;
            }
            at += 1;
        }
        let key =
            if bytes_name { PyBytes::new(py, name.as_bytes()).into_any() } else { PyString::new(py, name).into_any() };
        let value = if text_value {
            PyString::new(py, value).into_any()
        } else {
            PyBytes::new(py, value.as_bytes()).into_any()
        };
        if let Some(pair) = ok(py, PyTuple::new(py, [key, value])) {
            let _ = ok(py, list.append(pair));
        }
    }
}

/// `ironspan.environment`: a copy of the process environment (or of `base`) for a child, with the context in it.
#[pyfunction]
#[pyo3(signature = (base = None, /))]
pub(crate) fn environment_for_child<'py>(
    py: Python<'py>,
    base: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let copy = PyDict::new(py);
    let source = match base.filter(|base| !base.is_none()) {
        Some(base) => base.clone(),
        None => py.import("os")?.getattr("environ")?,
    };
    copy.call_method1("update", (source,))?;
    guard((), || {
        let (context, baggage) = outgoing(py);
        let propagators = &settings::get(py).config.propagators;
        environment::inject(propagators, context.as_ref(), &baggage, &mut |name, value| {
            match value {
                Some(value) => drop(ok(py, copy.set_item(name, value))),
                // What an older context left behind must not reach the child.
                None => drop(copy.del_item(name)),
            }
        });
    });
    Ok(copy)
}

/// `ironspan.attach`.
#[pyfunction]
#[pyo3(signature = (context, /))]
pub(crate) fn attach(context: &Bound<'_, PyAny>) -> Frame {
    guard(Frame::new(Change::Remote(Box::default())), || {
        if let Ok(span) = context.cast::<Span>() {
            return Frame::new(Change::Carried(Box::new(span.get().ambient()), Some(span.clone().into_any().unbind())));
        }
        Frame::new(Change::Remote(Box::new(ambient_of(context).unwrap_or_default())))
    })
}

/// What is current here, as something that another thread can enter; `None` when there is nothing.
#[pyfunction]
pub(crate) fn _capture(py: Python<'_>) -> Option<Frame> {
    guard(None, || {
        let object = super::current::settled(py);
        let ambient = super::ambient_of(py, object.as_ref());
        if ambient.context.is_none() && ambient.scope.is_none() {
            return None;
        }
        let span = object.and_then(|object| match object.cast_exact::<Frame>() {
            Ok(frame) => frame.get().span(py),
            Err(_) => Some(object),
        });
        Some(Frame::new(Change::Carried(Box::new(ambient), span.map(Bound::unbind))))
    })
}

fn short_text(value: Option<&Bound<'_, PyAny>>) -> Option<Box<str>> {
    let value = value.filter(|value| !value.is_none())?;
    let mut tape = Tape::default();
    convert::write(value, &mut tape);
    Some(crate::resolve::text_of(tape.as_bytes()).into_boxed_str())
}

/// `ironspan.scope`.
#[pyfunction]
#[pyo3(signature = (session = None, user = None, tags = None, metadata = None, baggage = None))]
pub(crate) fn scope(
    session: Option<&Bound<'_, PyAny>>,
    user: Option<&Bound<'_, PyAny>>,
    tags: Option<&Bound<'_, PyAny>>,
    metadata: Option<&Bound<'_, PyAny>>,
    baggage: Option<&Bound<'_, PyAny>>,
) -> Frame {
    guard(Frame::new(Change::Scope(Box::default())), || {
        let mut scope = Scope { session: short_text(session), user: short_text(user), ..Scope::default() };
        if let Some(tags) = tags.filter(|tags| !tags.is_none()) {
            if tags.is_instance_of::<PyString>() {
                scope.tags.extend(short_text(Some(tags)));
            } else if let Ok(tags) = tags.try_iter() {
                scope.tags.extend(tags.take(128).filter_map(Result::ok).filter_map(|tag| short_text(Some(&tag))));
            }
        }
        if let Some(metadata) = metadata.and_then(|metadata| metadata.cast::<PyDict>().ok()) {
            let mut pairs = Tape::default();
            for (key, value) in metadata.iter().take(128) {
                let Some(key) = short_text(Some(&key)) else { continue };
                pairs.str(&key);
                convert::write(&value, &mut pairs);
            }
            scope.metadata = pairs.into_bytes();
        }
        if let Some(entries) = baggage.and_then(|baggage| baggage.cast::<PyDict>().ok()) {
            scope.baggage = Baggage::from_entries(entries.iter().take(64).filter_map(|(key, value)| {
                Some(BaggageEntry {
                    key: short_text(Some(&key))?,
                    value: short_text(Some(&value))?,
                    metadata: "".into(),
                })
            }));
        }
        Frame::new(Change::Scope(Box::new(scope)))
    })
}

/// `ironspan.current`.
#[pyfunction]
pub(crate) fn current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let found = guard(None, || {
        let object = super::current::settled(py);
        let own = object.as_ref().map_or_else(Ambient::default, Ambient::of);
        if let Some(nearer) =
            super::runs::nearest::nearer_object(py, &own).filter(|nearer| nearer.cast::<Span>().is_ok())
        {
            return Some(nearer);
        }
        let object = object?;
        match object.cast_exact::<Frame>() {
            Ok(frame) => frame.get().span(py).or_else(|| {
                let ambient = Ambient::of(&object);
                ok(py, Bound::new(py, Span::stand_in(py, ambient))).map(Bound::into_any)
            }),
            Err(_) => Some(object),
        }
    });
    match found {
        Some(span) => Ok(span),
        None => super::noop(py),
    }
}
