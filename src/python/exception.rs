//! Exceptions on the tape: class, message, stack and chain of causes, as text. No reference to the exception is kept,
//! and no source file is read.

use std::fmt::Write as _;

use pyo3::exceptions::{
    PyBaseException, PyGeneratorExit, PyKeyboardInterrupt, PyStopAsyncIteration, PyStopIteration, PySystemExit,
};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::clock;
use crate::kind::Outcome;
use crate::python::convert;
use crate::python::guard::ok;
use crate::tape::Tape;

/// Exceptions of one chain, and of one group.
const MAX_CHAIN: usize = 16;
/// Frames of one stack: the outermost and the innermost half are kept.
const MAX_FRAMES: usize = 100;
/// Bytes of one message.
const MAX_MESSAGE: usize = 64 * 1024;

/// Whether `object` is an exception.
pub(crate) fn is_exception(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyBaseException>()
}

/// How a span ends that this exception leaves.
pub(crate) fn outcome(error: &Bound<'_, PyAny>) -> Outcome {
    if error.is_instance_of::<PyGeneratorExit>() || error.is_instance_of::<PyKeyboardInterrupt>() {
        return Outcome::Cancelled;
    }
    if error.is_instance_of::<PyStopIteration>() || error.is_instance_of::<PyStopAsyncIteration>() {
        return Outcome::Ok;
    }
    if error.is_instance_of::<PySystemExit>() {
        let failed = ok(error.py(), error.getattr("code"))
            .is_some_and(|code| !code.is_none() && !code.extract::<i64>().is_ok_and(|code| code == 0));
        return if failed { Outcome::Error } else { Outcome::Ok };
    }
    // Control flow of frameworks, by the names of the classes along the bases: importing them is not for us.
    for class in error.get_type().mro().iter_borrowed() {
        let Ok(class) = class.cast::<PyType>() else { continue };
        let (module, name) = module_and_name(&class);
        match (module.as_str(), name.as_str()) {
            (
                "asyncio.exceptions" | "concurrent.futures._base" | "trio" | "trio._core._exceptions",
                "CancelledError" | "Cancelled",
            ) => {
                return Outcome::Cancelled;
            }
            // A node that hands over to the graph around it has done its work.
            ("langgraph.errors", "ParentCommand") => return Outcome::Ok,
            ("langgraph.errors", "GraphBubbleUp" | "GraphInterrupt") => return Outcome::Interrupted,
            _ => {}
        }
    }
    Outcome::Error
}

fn module_and_name(class: &Bound<'_, PyType>) -> (String, String) {
    let read = |text: PyResult<Bound<'_, PyString>>| {
        text.map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
    };
    (read(class.module()), read(class.qualname()))
}

/// The full name of an exception's class: `module.Name`, without the module for builtins (core semantic conventions,
/// exceptions).
fn class_name(error: &Bound<'_, PyAny>) -> String {
    let (module, name) = module_and_name(&error.get_type());
    if module.is_empty() || module == "builtins" { name } else { format!("{module}.{name}") }
}

/// `str(error)`, which is code of the user's and may fail.
fn message(error: &Bound<'_, PyAny>) -> String {
    match ok(error.py(), error.str()) {
        Some(text) => {
            let text = convert::text(&text).to_str().into_owned();
            if text.len() <= MAX_MESSAGE {
                return text;
            }
            let end = (0..=MAX_MESSAGE).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            format!("{}...", text.get(..end).unwrap_or_default())
        }
        None => "<unreadable message>".to_owned(),
    }
}

/// An attribute that the base class of exceptions has: `None` where it is absent or None.
fn part<'py>(error: &Bound<'py, PyAny>, name: &str) -> Option<Bound<'py, PyAny>> {
    error.getattr(name).ok().filter(|value| !value.is_none())
}

/// The exception that led to `error`, and how Python words that.
fn cause<'py>(error: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, &'static str)> {
    if let Some(cause) = part(error, "__cause__") {
        return Some((cause, "cause"));
    }
    let suppressed = error.getattr("__suppress_context__").is_ok_and(|flag| flag.is_truthy().unwrap_or(false));
    if suppressed {
        return None;
    }
    part(error, "__context__").map(|context| (context, "context"))
}

/// Appends the entry of an exception: list of ticks, class, message, stack, causes.
pub(crate) fn write(error: &Bound<'_, PyAny>, tape: &mut Tape) {
    let mut chain = vec![(error.clone(), "")];
    while let Some((next, relation)) = chain.last().and_then(|(last, _)| cause(last)) {
        if chain.len() >= MAX_CHAIN || chain.iter().any(|(seen, _)| seen.is(&next)) {
            break;
        }
        chain.push((next, relation));
    }
    let mut stack = String::new();
    for (at, (error, _)) in chain.iter().enumerate().rev() {
        write_traceback(error, &mut stack);
        if let Some((_, relation)) = at.checked_sub(1).and_then(|_| chain.get(at)) {
            stack.push_str(if *relation == "cause" {
                "\nThe above exception was the direct cause of the following exception:\n\n"
            } else {
                "\nDuring handling of the above exception, another exception occurred:\n\n"
            });
        }
    }
    tape.list();
    tape.int(clock::ticks().cast_signed());
    tape.str(&class_name(error));
    tape.str(&message(error));
    tape.str(&stack);
    tape.list();
    for (cause, relation) in chain.iter().skip(1) {
        write_cause(cause, relation, tape);
    }
    for member in members(error) {
        write_cause(&member, "member", tape);
    }
    tape.end();
    tape.end();
}

fn write_cause(error: &Bound<'_, PyAny>, relation: &str, tape: &mut Tape) {
    tape.map();
    for (key, text) in [("relation", relation), ("type", &class_name(error)), ("message", &message(error))] {
        tape.str(key);
        tape.str(text);
    }
    tape.end();
}

/// The exceptions of a group.
fn members<'py>(error: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyAny>> {
    let is_group = error.get_type().mro().iter().any(|class| {
        class.cast::<PyType>().is_ok_and(|class| class.name().is_ok_and(|name| name == "BaseExceptionGroup"))
    });
    if !is_group {
        return Vec::new();
    }
    let Some(members) = part(error, "exceptions") else { return Vec::new() };
    let Ok(members) = members.try_iter() else { return Vec::new() };
    members.filter_map(Result::ok).take(MAX_CHAIN).collect()
}

/// One exception as Python prints it, without the source lines: reading files is not for the caller's thread.
fn write_traceback(error: &Bound<'_, PyAny>, out: &mut String) {
    let mut frames = Vec::new();
    let mut next = part(error, "__traceback__");
    while let Some(traceback) = next {
        frames.push(traceback.clone());
        if frames.len() > 100_000 {
            break;
        }
        next = part(&traceback, "tb_next");
    }
    if !frames.is_empty() {
        out.push_str("Traceback (most recent call last):\n");
    }
    let half = MAX_FRAMES / 2;
    let hidden = frames.len().saturating_sub(MAX_FRAMES);
    for (at, traceback) in frames.iter().enumerate() {
        if hidden > 0 && at == half {
            let _ = writeln!(out, "  ... {hidden} frames ...");
        }
        if hidden > 0 && at >= half && at < half + hidden {
            continue;
        }
        write_frame(traceback, out);
    }
    let message = message(error);
    out.push_str(&class_name(error));
    if !message.is_empty() {
        out.push_str(": ");
        out.push_str(&message);
    }
    out.push('\n');
}

fn write_frame(traceback: &Bound<'_, PyAny>, out: &mut String) {
    let line: i64 = part(traceback, "tb_lineno").and_then(|line| line.extract().ok()).unwrap_or(0);
    let code = part(traceback, "tb_frame").and_then(|frame| part(&frame, "f_code"));
    let text = |name: &str| {
        code.as_ref()
            .and_then(|code| part(code, name))
            .and_then(|text| text.extract::<String>().ok())
            .unwrap_or_default()
    };
    let _ = writeln!(out, "  File \"{}\", line {line}, in {}", text("co_filename"), text("co_name"));
}
