//! What an object is and what it holds, asked without running code of the user's: types by the lookup along their
//! bases, objects by their slots and instance dict.

#![allow(unsafe_code, reason = "the C API has these lookups, PyO3 has none that leaves the user's hooks out")]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// Objects that are read through their instance dict, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Model,
    Data,
    Enum,
    NumpyScalar,
}

impl Shape {
    /// What `class` is, by the marks that its machinery leaves on it. Looked up through `type`'s own lookup (a plain
    /// walk along the bases), so that no metaclass has a say.
    pub(super) fn of(class: &Bound<'_, PyType>) -> Option<Self> {
        let py = class.py();
        for (mark, shape) in [
            (pyo3::intern!(py, "__pydantic_fields__"), Self::Model),
            (pyo3::intern!(py, "__pydantic_validator__"), Self::Model),
            (pyo3::intern!(py, "__dataclass_fields__"), Self::Data),
            (pyo3::intern!(py, "__attrs_attrs__"), Self::Data),
            (pyo3::intern!(py, "_member_map_"), Self::Enum),
            (pyo3::intern!(py, "__array_priority__"), Self::NumpyScalar),
        ] {
            if type_has(class, mark) {
                if shape == Self::NumpyScalar && !type_has(class, pyo3::intern!(py, "itemsize")) {
                    return None;
                }
                if shape == Self::NumpyScalar && type_has(class, pyo3::intern!(py, "__len__")) {
                    return None;
                }
                return Some(shape);
            }
        }
        None
    }
}

unsafe extern "C" {
    /// Python's own lookup along a type's bases; exported by every version, and used by Cython and others.
    fn _PyType_Lookup(class: *mut ffi::PyTypeObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

pub(super) fn type_attribute<'py>(
    class: &Bound<'py, PyType>,
    name: &Bound<'py, PyString>,
) -> Option<Bound<'py, PyAny>> {
    // SAFETY: returns a borrowed reference and raises nothing.
    unsafe { Bound::from_borrowed_ptr_or_opt(class.py(), _PyType_Lookup(class.as_type_ptr(), name.as_ptr())) }
}

pub(super) fn type_has(class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> bool {
    type_attribute(class, name).is_some()
}

/// An attribute by the base type's lookup (slots, instance dict): a `__getattr__` of the user's does not run. A property
/// would; the names asked for here are none.
pub(super) fn slot<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    let py = object.py();
    // SAFETY: generic lookup on a live object; an error is cleared.
    unsafe {
        let found = Bound::from_owned_ptr_or_opt(py, ffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr()));
        if found.is_none() {
            ffi::PyErr_Clear();
        }
        found
    }
}

/// The instance dict, if there is one.
pub(super) fn instance_dict<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    slot(object, pyo3::intern!(object.py(), "__dict__")).filter(Bound::is_instance_of::<PyDict>)
}

pub(super) fn dict_get<'py>(dict: &Bound<'py, PyAny>, key: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: `dict` is a dict; the result is borrowed from it and made owned at once.
    unsafe {
        let found = ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
        if found.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Bound::from_borrowed_ptr(dict.py(), found))
    }
}

/// The field names of a named tuple.
pub(super) fn named_fields(tuple: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    let py = tuple.py();
    let class = tuple.get_type();
    type_attribute(&class, pyo3::intern!(py, "_fields"))?.extract().ok()
}

/// Standard-library types whose `str()` is their value. Exact modules, so that a user's class of the same name is none.
pub(super) fn is_printable(c_name: &str, class: &Bound<'_, PyType>) -> bool {
    // Types made in C carry their module in the name.
    if matches!(
        c_name,
        "datetime.datetime" | "datetime.date" | "datetime.time" | "datetime.timedelta" | "decimal.Decimal"
    ) {
        return true;
    }
    // Addresses as pydantic keeps them: a class of its own around one made in Rust.
    if c_name == "pydantic_core._pydantic_core.Url"
        || c_name.ends_with("Url") && type_has(class, pyo3::intern!(class.py(), "unicode_string"))
    {
        return class.module().is_ok_and(|module| {
            module.to_str().is_ok_and(|module| matches!(module, "pydantic.networks" | "pydantic_core._pydantic_core"))
        });
    }
    if !matches!(c_name, "UUID" | "Fraction" | "PosixPath" | "WindowsPath" | "PurePosixPath" | "PureWindowsPath") {
        return false;
    }
    class.module().is_ok_and(|module| {
        module.to_str().is_ok_and(|module| matches!(module, "uuid" | "fractions" | "pathlib" | "pathlib._local"))
    })
}
