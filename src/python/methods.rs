//! The methods of a span that every span goes through: `set`, `__enter__` and `__exit__`.
//!
//! They are as raw as the verbs: the usual trampolines and argument parsing cost as much as the work (1.2 of 7.5 thousand
//! instructions of a span with five attributes).

#![allow(unsafe_code, reason = "a method in C takes raw pointers, valid for the call")]

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::python::bound;
use crate::python::fastcall::Definition;
use crate::python::guard::guard;
use crate::python::span::Span;

static METHODS: [Definition; 3] = [
    Definition(ffi::PyMethodDef {
        ml_name: c"set".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: set_method },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: c"set($self, key, value, /)\n--\n\nSets an attribute.".as_ptr(),
    }),
    Definition(ffi::PyMethodDef {
        ml_name: c"__enter__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: enter_method },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: c"__enter__($self, /)\n--\n\nStarts the span and makes it current.".as_ptr(),
    }),
    Definition(ffi::PyMethodDef {
        ml_name: c"__exit__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: exit_method },
        ml_flags: ffi::METH_FASTCALL,
        ml_doc: c"__exit__($self, type=None, error=None, traceback=None, /)\n--\n\nEnds the span.".as_ptr(),
    }),
];

/// Adds the methods to the class.
pub(crate) fn init(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<Span>();
    // From 3.14 on a `with` statement calls the methods as they lie in the class.
    let binds = py.version_info() < (3, 14);
    for definition in &METHODS {
        // SAFETY: the definition is static, and the descriptor checks that `self` is a Span before it calls us.
        let method = unsafe {
            let definition = std::ptr::from_ref(&definition.0).cast_mut();
            Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_type_ptr(), definition))?
        };
        let name = method.getattr("__name__")?.cast_into::<PyString>()?;
        match name.to_str()? {
            "__enter__" if binds => bound::install(py, &name, &method, enter_bound)?,
            "__exit__" if binds => bound::install(py, &name, &method, exit_bound)?,
            _ => class.setattr(name, method)?,
        }
    }
    Ok(())
}

/// Runs `work` on the span behind `this` and with the arguments of the call.
///
/// # Safety
/// Called by Python through a method descriptor of `Span`: `this` is one, and `arguments` holds `count` objects.
#[inline]
unsafe fn with_span(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    work: impl FnOnce(&Bound<'_, Span>, &[*mut ffi::PyObject]),
) {
    unsafe {
        let py = Python::assume_attached();
        let span = Borrowed::from_ptr(py, this);
        let arguments = if count <= 0 { &[] } else { std::slice::from_raw_parts(arguments, count.unsigned_abs()) };
        let span = span.cast_unchecked::<Span>();
        guard((), || work(&span, arguments));
    }
}

#[cold]
fn wrong_count(name: &str, expected: &str, given: ffi::Py_ssize_t) -> *mut ffi::PyObject {
    // SAFETY: called from a method, so attached.
    let py = unsafe { Python::assume_attached() };
    PyTypeError::new_err(format!("Span.{name}() takes {expected} ({given} given)")).restore(py);
    std::ptr::null_mut()
}

unsafe extern "C" fn set_method(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    unsafe {
        if count != 2 {
            return wrong_count("set", "a key and a value", count);
        }
        with_span(this, arguments, count, |span, arguments| {
            if let [key, value] = arguments {
                let (key, value) = (Borrowed::from_ptr(span.py(), *key), Borrowed::from_ptr(span.py(), *value));
                span.get().set_attribute(&key, &value);
            }
        });
        ffi::Py_INCREF(this);
        this
    }
}

unsafe extern "C" fn enter_method(this: *mut ffi::PyObject, _nothing: *mut ffi::PyObject) -> *mut ffi::PyObject {
    unsafe {
        with_span(this, std::ptr::null(), 0, |span, _| Span::enter_span(span));
        ffi::Py_INCREF(this);
        this
    }
}

unsafe extern "C" fn exit_method(
    this: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    unsafe {
        if count > 3 {
            return wrong_count("__exit__", "at most an exception's type, value and traceback", count);
        }
        with_span(this, arguments, count, |span, arguments| {
            let error = arguments.get(1).map(|error| Borrowed::from_ptr(span.py(), *error));
            Span::exit_span(span, error.as_deref());
        });
        ffi::Py_NewRef(ffi::Py_False())
    }
}

/// `span.__enter__()`, by way of a bound method of ours.
unsafe extern "C" fn enter_bound(
    method: *mut ffi::PyObject,
    _arguments: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    unsafe {
        let count = ffi::PyVectorcall_NARGS(count);
        if count != 0 || has_any(keywords) {
            return wrong_count("__enter__", "no arguments", count);
        }
        enter_method(bound::span_of(method), std::ptr::null_mut())
    }
}

/// `span.__exit__(type, error, traceback)`, likewise.
unsafe extern "C" fn exit_bound(
    method: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    unsafe {
        let count = ffi::PyVectorcall_NARGS(count);
        if has_any(keywords) {
            return wrong_count("__exit__", "no keywords", count);
        }
        exit_method(bound::span_of(method), arguments.cast_mut(), count)
    }
}

/// Whether there are names of keywords: null or a tuple.
#[inline]
unsafe fn has_any(keywords: *mut ffi::PyObject) -> bool {
    unsafe { !keywords.is_null() && ffi::PyTuple_GET_SIZE(keywords) > 0 }
}
