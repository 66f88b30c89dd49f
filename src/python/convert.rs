//! Python value to tape: walks a value once on the caller's thread and copies what it sees.
//!
//! Code of the user's does not run here: containers are read through the C API of their base types, models and
//! dataclasses through their instance dict, and everything unknown becomes its type's name. The exceptions are a few
//! standard-library types whose `str()` is their value (dates, decimals, UUIDs, paths). Whatever raises, degrades itself
//! only.

#![allow(unsafe_code, reason = "reading str, list and dict in place is what makes a 19 KB history cost 2 us")]

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::python::guard;
use crate::python::shape::{
    Shape, dict_get, instance_dict, is_printable, named_fields, slot, type_attribute, type_has,
};
use crate::tape::{Cut, Tape, Text, Width};

/// Values in a key of a mapping that is no text, and bytes of them.
const MAX_KEY_NODES: usize = 64;
const MAX_KEY_BYTES: usize = 4096;
/// Containers inside containers there.
const KEY_DEPTH: usize = 2;

/// The limits in force. Atomics, because a walk must be able to read them whatever else goes on.
struct Limits {
    depth: AtomicUsize,
    nodes: AtomicUsize,
    items: AtomicUsize,
    span_bytes: AtomicUsize,
}

static LIMITS: Limits = Limits {
    depth: AtomicUsize::new(64),
    nodes: AtomicUsize::new(20_000),
    items: AtomicUsize::new(1024),
    span_bytes: AtomicUsize::new(16 << 20),
};

/// Puts limits in force (`init(limits=...)`; depth: OpenTelemetry specification, `AttributeValueDepthLimit`).
pub(crate) fn set_limits(limits: &crate::config::Limits) {
    LIMITS.depth.store(limits.depth, Relaxed);
    LIMITS.nodes.store(limits.nodes, Relaxed);
    LIMITS.items.store(limits.items, Relaxed);
    LIMITS.span_bytes.store(limits.span_bytes, Relaxed);
}

/// Bytes that one span may hold; what comes later is left out and counted.
#[inline]
pub(crate) fn span_bytes() -> usize {
    LIMITS.span_bytes.load(Relaxed)
}

/// One walk over one value.
struct Walk<'t> {
    tape: &'t mut Tape,
    nodes: usize,
    items: usize,
    depth: usize,
    limit: usize,
    /// Whether a text or bytes had to be shortened.
    shortened: bool,
}

/// What came of writing a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it is there, or marks where it is not.
    Whole,
    /// A text was shortened, which no mark says.
    Shortened,
    /// The span is full: nothing of it is there.
    LeftOut,
}

impl Written {
    /// What came of writing several values into one.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Whole && other == Self::Whole { Self::Whole } else { Self::Shortened }
    }
}

/// Appends `value` to `tape`, as much of it as fits under the span's byte limit. A little of that is left free: the
/// span's later values, and the names and quotes that come with its attributes, are to fit under it too.
pub(crate) fn write(value: &Bound<'_, PyAny>, tape: &mut Tape) -> Written {
    write_within(value, tape, span_bytes() - span_bytes() / 256)
}

/// Appends `value` to `tape`, which may grow to about `limit` bytes: what does not fit is cut.
pub(crate) fn write_within(value: &Bound<'_, PyAny>, tape: &mut Tape, limit: usize) -> Written {
    if tape.len() >= limit {
        return Written::LeftOut;
    }
    let mut walk = Walk {
        tape,
        nodes: LIMITS.nodes.load(Relaxed),
        items: LIMITS.items.load(Relaxed),
        depth: LIMITS.depth.load(Relaxed),
        limit,
        shortened: false,
    };
    // SAFETY: `value` keeps the object alive, and the interpreter is attached for as long as `value` lives.
    unsafe { walk.value(value.py(), value.as_ptr(), 0) };
    if walk.shortened { Written::Shortened } else { Written::Whole }
}

/// The pairs of a mapping that is no dict, for where a mapping is what the signature asks for. Its own code runs, since
/// there is no other way to read it; what that raises is counted, and `None` is returned as for anything else.
#[cold]
pub(crate) fn pairs_of<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let py = value.py();
    let class = value.get_type();
    if !type_has(&class, pyo3::intern!(py, "keys")) || !type_has(&class, pyo3::intern!(py, "__getitem__")) {
        return None;
    }
    let pairs = PyDict::new(py);
    // SAFETY: both are live objects, and the first is a dict.
    let failed = unsafe { ffi::PyDict_Update(pairs.as_ptr(), value.as_ptr()) } != 0;
    if failed {
        guard::swallow(py, &PyErr::fetch(py));
        return None;
    }
    Some(pairs)
}

/// Appends `value` if it is a scalar that no code of the user's can touch: exact str, int, float, bool, None. Says
/// whether it was one. This is the whole cost of most attributes.
#[inline]
pub(crate) fn write_scalar(value: &Bound<'_, PyAny>, tape: &mut Tape) -> bool {
    let object = value.as_ptr();
    // SAFETY: the interpreter is attached, and the object is alive.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if class == &raw mut ffi::PyUnicode_Type {
            let text = text_of(object);
            if tape.len() + text.bytes.len() > span_bytes() {
                return false;
            }
            tape.text(text);
        } else if class == &raw mut ffi::PyLong_Type {
            let mut overflow = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow != 0 {
                return false;
            }
            tape.int(number);
        } else if class == &raw mut ffi::PyFloat_Type {
            tape.float(ffi::PyFloat_AS_DOUBLE(object));
        } else if object == ffi::Py_None() {
            tape.null();
        } else if object == ffi::Py_True() {
            tape.bool(true);
        } else if object == ffi::Py_False() {
            tape.bool(false);
        } else {
            return false;
        }
    }
    true
}

/// The characters of a `str` (or of an instance of a subclass) as they lie in memory.
///
/// # Safety
/// `object` is a `str`, alive for as long as the result is used.
#[inline]
unsafe fn text_of<'a>(object: *mut ffi::PyObject) -> Text<'a> {
    unsafe {
        if ffi::PyUnicode_READY(object) != 0 {
            ffi::PyErr_Clear();
            return Text::utf8("");
        }
        let length = usize::try_from(ffi::PyUnicode_GET_LENGTH(object)).unwrap_or(0);
        let data = ffi::PyUnicode_DATA(object).cast::<u8>().cast_const();
        let (width, bytes) = match ffi::PyUnicode_KIND(object) {
            1 if ffi::PyUnicode_IS_ASCII(object) != 0 => (Width::Utf8, length),
            1 => (Width::Latin1, length),
            2 => (Width::Ucs2, length * 2),
            _ => (Width::Ucs4, length * 4),
        };
        Text { bytes: std::slice::from_raw_parts(data, bytes), width }
    }
}

/// The characters of a Python string, as they lie in memory.
#[inline]
pub(crate) fn text<'a>(value: &'a Bound<'_, PyString>) -> Text<'a> {
    // SAFETY: `value` is a str and outlives the result.
    unsafe { text_of(value.as_ptr()) }
}

/// The full name of a type as C has it: `module.Name` for types made in C, `Name` for those made in Python.
///
/// # Safety
/// `object` is alive, and the result is used no longer than its type.
unsafe fn type_name<'a>(object: *mut ffi::PyObject) -> &'a str {
    unsafe { CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name).to_str().unwrap_or("object") }
}

impl Walk<'_> {
    fn full(&self) -> bool {
        self.tape.len() >= self.limit
    }

    /// Why a container ends after `seen` items, if it does.
    fn stop(&self, seen: usize) -> Option<Cut> {
        if self.nodes == 0 || seen >= self.items {
            return Some(Cut::Nodes);
        }
        self.full().then_some(Cut::Bytes)
    }

    /// # Safety
    /// `object` is alive for the whole call (the caller holds a reference), and the interpreter is attached.
    unsafe fn value(&mut self, py: Python<'_>, object: *mut ffi::PyObject, depth: usize) {
        if self.nodes == 0 {
            return self.tape.cut(Cut::Nodes);
        }
        if self.full() {
            return self.tape.cut(Cut::Bytes);
        }
        self.nodes -= 1;
        unsafe {
            // First of all, and by the room that is left here.
            if ffi::PyUnicode_CheckExact(object) != 0 {
                return self.text(text_of(object));
            }
            let borrowed = Borrowed::from_ptr(py, object);
            if write_scalar(&borrowed, self.tape) {
                return;
            }
            if ffi::PyUnicode_Check(object) != 0 {
                self.text(text_of(object));
            } else if ffi::PyLong_Check(object) != 0 {
                self.integer(py, object);
            } else if ffi::PyFloat_Check(object) != 0 {
                self.tape.float(ffi::PyFloat_AS_DOUBLE(object));
            } else if ffi::PyBytes_Check(object) != 0 {
                let length = usize::try_from(ffi::PyBytes_Size(object)).unwrap_or(0);
                let data = ffi::PyBytes_AsString(object).cast::<u8>().cast_const();
                self.bytes(std::slice::from_raw_parts(data, length));
            } else if ffi::PyByteArray_Check(object) != 0 {
                let length = usize::try_from(ffi::PyByteArray_Size(object)).unwrap_or(0);
                let data = ffi::PyByteArray_AsString(object).cast::<u8>().cast_const();
                self.bytes(std::slice::from_raw_parts(data, length));
            } else if depth >= self.depth {
                self.tape.cut(Cut::Depth);
            } else if ffi::PyDict_Check(object) != 0 {
                self.tape.map();
                self.pairs(py, object, depth);
                self.tape.end();
            } else if ffi::PyList_Check(object) != 0 {
                self.list(py, object, depth);
            } else if ffi::PyTuple_Check(object) != 0 {
                self.tuple(py, object, depth);
            } else if ffi::PyAnySet_Check(object) != 0 {
                self.set(py, object, depth);
            } else {
                self.object(&borrowed, depth);
            }
        }
    }

    /// Text, shortened to what the span may still hold.
    fn text(&mut self, text: Text<'_>) {
        let room = self.limit.saturating_sub(self.tape.len());
        if text.bytes.len() <= room {
            return self.tape.text(text);
        }
        self.shortened = true;
        let kept = room / 4 * 4;
        let bytes = text.bytes.get(..kept).unwrap_or_default();
        // ASCII is cut anywhere; wider text at a multiple of its width.
        self.tape.text(Text { bytes, width: text.width });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.tape.len());
        self.shortened |= bytes.len() > room;
        self.tape.bytes(bytes.get(..room.min(bytes.len())).unwrap_or(bytes));
    }

    unsafe fn integer(&mut self, py: Python<'_>, object: *mut ffi::PyObject) {
        unsafe {
            let mut overflow = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow == 0 {
                return self.tape.int(number);
            }
            // The base type's own conversion, so that a subclass has no say. Python refuses beyond 4,300 digits.
            let Some(convert) = ffi::PyLong_Type.tp_repr else { return self.tape.cut(Cut::Failed) };
            match Bound::from_owned_ptr_or_err(py, convert(object)) {
                Ok(digits) if ffi::PyUnicode_Check(digits.as_ptr()) != 0 => {
                    self.tape.big_int(&text_of(digits.as_ptr()).to_str());
                }
                _ => {
                    ffi::PyErr_Clear();
                    self.tape.opaque(Text::utf8("int with too many digits to print"));
                }
            }
        }
    }

    /// # Safety
    /// `dict` is a dict (or an instance of a subclass), alive for the whole call.
    unsafe fn pairs(&mut self, py: Python<'_>, dict: *mut ffi::PyObject, depth: usize) {
        let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        let mut seen = 0;
        unsafe {
            while ffi::PyDict_Next(dict, &raw mut position, &raw mut key, &raw mut value) != 0 {
                // Owned for the time we look at them: a `str()` below may run Python code that changes the dict.
                let key = Bound::from_borrowed_ptr(py, key);
                let value = Bound::from_borrowed_ptr(py, value);
                if let Some(cut) = self.stop(seen) {
                    self.tape.str("...");
                    self.tape.cut(cut);
                    return;
                }
                seen += 1;
                self.key(&key);
                self.value(py, value.as_ptr(), depth + 1);
            }
        }
    }

    /// A key of a mapping: always text.
    fn key(&mut self, key: &Bound<'_, PyAny>) {
        // SAFETY: `key` is alive.
        unsafe {
            let object = key.as_ptr();
            if ffi::PyUnicode_Check(object) != 0 {
                return self.text(text_of(object));
            }
            if object == ffi::Py_True() {
                return self.tape.str("True");
            }
            if object == ffi::Py_False() {
                return self.tape.str("False");
            }
            if object == ffi::Py_None() {
                return self.tape.str("None");
            }
            if ffi::PyFloat_Check(object) != 0 {
                return self.tape.str(&format!("{:?}", ffi::PyFloat_AS_DOUBLE(object)));
            }
            // Anything else by the text of its value, so that keys that differ stay apart: a whole number as its
            // digits, a UUID, date or enum as such, a tuple as the list it is.
            let mut aside = Tape::default();
            let mut walk = Walk {
                tape: &mut aside,
                nodes: MAX_KEY_NODES.min(self.nodes),
                items: MAX_KEY_NODES,
                depth: KEY_DEPTH,
                limit: MAX_KEY_BYTES,
                shortened: false,
            };
            walk.value(key.py(), object, 0);
            self.tape.str(&crate::resolve::text_of(aside.as_bytes()));
        }
    }

    /// # Safety
    /// `list` is a list (or an instance of a subclass), alive for the whole call.
    unsafe fn list(&mut self, py: Python<'_>, list: *mut ffi::PyObject, depth: usize) {
        self.tape.list();
        let mut at = 0;
        unsafe {
            // The size is read again each time: the list may shrink while we look at an item.
            while at < ffi::PyList_GET_SIZE(list) {
                if let Some(cut) = self.stop(at.unsigned_abs()) {
                    self.tape.cut(cut);
                    break;
                }
                let item = Bound::from_borrowed_ptr(py, ffi::PyList_GET_ITEM(list, at));
                self.value(py, item.as_ptr(), depth + 1);
                at += 1;
            }
        }
        self.tape.end();
    }

    /// # Safety
    /// `tuple` is a tuple (or an instance of a subclass), alive for the whole call.
    unsafe fn tuple(&mut self, py: Python<'_>, tuple: *mut ffi::PyObject, depth: usize) {
        unsafe {
            let borrowed = Borrowed::from_ptr(py, tuple);
            let fields = if ffi::PyTuple_CheckExact(tuple) == 0 { named_fields(&borrowed) } else { None };
            match &fields {
                Some(_) => self.tape.object(Text::utf8(type_name(tuple))),
                None => self.tape.list(),
            }
            for at in 0..ffi::PyTuple_GET_SIZE(tuple) {
                if let Some(cut) = self.stop(at.unsigned_abs()) {
                    if fields.is_some() {
                        self.tape.str("...");
                    }
                    self.tape.cut(cut);
                    break;
                }
                if let Some(fields) = &fields {
                    match usize::try_from(at).ok().and_then(|at| fields.get(at)) {
                        Some(name) => self.tape.str(name),
                        None => self.tape.str("?"),
                    }
                }
                self.value(py, ffi::PyTuple_GET_ITEM(tuple, at), depth + 1);
            }
        }
        self.tape.end();
    }

    /// # Safety
    /// `set` is a set or frozenset, alive for the whole call.
    unsafe fn set(&mut self, py: Python<'_>, set: *mut ffi::PyObject, depth: usize) {
        self.tape.list();
        unsafe {
            // The base type's iterator, so that a subclass has no say.
            let class = if ffi::PyFrozenSet_Check(set) != 0 {
                &raw mut ffi::PyFrozenSet_Type
            } else {
                &raw mut ffi::PySet_Type
            };
            let iterator = (*class).tp_iter.and_then(|iterate| Bound::from_owned_ptr_or_opt(py, iterate(set)));
            if let Some(iterator) = iterator {
                let mut seen = 0;
                while let Some(item) = Bound::from_owned_ptr_or_opt(py, ffi::PyIter_Next(iterator.as_ptr())) {
                    if let Some(cut) = self.stop(seen) {
                        self.tape.cut(cut);
                        break;
                    }
                    seen += 1;
                    self.value(py, item.as_ptr(), depth + 1);
                }
            }
            // A set that changed under us ends the walk with an error that is nobody's business.
            ffi::PyErr_Clear();
        }
        self.tape.end();
    }

    /// Anything that is no builtin: models, dataclasses, enums, a few standard types; else the type's name.
    fn object(&mut self, object: &Bound<'_, PyAny>, depth: usize) {
        let py = object.py();
        let class = object.get_type();
        // SAFETY: the type outlives this call.
        let c_name = unsafe { type_name(object.as_ptr()) };
        if is_printable(c_name, &class) {
            match object.str() {
                Ok(text) => {
                    // SAFETY: `text` is alive.
                    self.text(unsafe { text_of(text.as_ptr()) });
                }
                Err(error) => {
                    guard::swallow(py, &error);
                    self.tape.cut(Cut::Failed);
                }
            }
            return;
        }
        // The instance dict, read without the type's own attribute lookup.
        let Some(kind) = Shape::of(&class) else {
            // The one mapping of the standard library that only shows another one.
            if c_name == "mappingproxy"
                && let Some(pairs) = pairs_of(object)
            {
                self.tape.map();
                // SAFETY: `pairs` is a dict and alive.
                unsafe { self.pairs(py, pairs.as_ptr(), depth) };
                return self.tape.end();
            }
            return self.opaque(c_name);
        };
        if kind == Shape::NumpyScalar {
            match object.call_method0(pyo3::intern!(py, "item")) {
                // SAFETY: `item` is alive.
                Ok(item) => unsafe { self.value(py, item.as_ptr(), depth + 1) },
                Err(error) => {
                    guard::swallow(py, &error);
                    self.opaque(c_name);
                }
            }
            return;
        }
        let dict = instance_dict(object);
        if kind == Shape::Enum {
            let value = dict.as_ref().and_then(|dict| dict_get(dict, pyo3::intern!(py, "_value_")));
            match value {
                // SAFETY: `value` is alive.
                Some(value) => unsafe { self.value(py, value.as_ptr(), depth + 1) },
                None => self.opaque(c_name),
            }
            return;
        }
        self.tape.object(Text::utf8(c_name));
        // A class with slots below one without has an instance dict as well, and nothing in it.
        if let Some(dict) = dict.filter(|dict| kind == Shape::Model || !dict.is_empty().unwrap_or(false)) {
            // SAFETY: `dict` is a dict and alive.
            unsafe { self.pairs(py, dict.as_ptr(), depth) };
            if kind == Shape::Model
                && let Some(extra) = slot(object, pyo3::intern!(py, "__pydantic_extra__"))
                && extra.is_instance_of::<PyDict>()
            {
                // SAFETY: as above.
                unsafe { self.pairs(py, extra.as_ptr(), depth) };
            }
        } else {
            self.slots(object, &class, depth);
        }
        self.tape.end();
    }

    fn opaque(&mut self, name: &str) {
        self.tape.opaque(Text::utf8(name));
    }

    /// A dataclass or attrs class with slots: its declared fields, through the slots.
    fn slots(&mut self, object: &Bound<'_, PyAny>, class: &Bound<'_, PyType>, depth: usize) {
        let py = object.py();
        let Some(fields) = type_attribute(class, pyo3::intern!(py, "__dataclass_fields__")) else { return };
        let Ok(fields) = fields.cast_into::<PyDict>() else { return };
        for name in fields.keys() {
            let Ok(name) = name.cast_into::<PyString>() else { continue };
            let Some(value) = slot(object, &name) else { continue };
            self.text(text(&name));
            // SAFETY: `value` is alive.
            unsafe { self.value(py, value.as_ptr(), depth + 1) };
        }
    }
}
