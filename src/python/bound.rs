//! Bound methods that are cheap to make: what `with span:` gets for `__enter__` and `__exit__`.
//!
//! Up to 3.13, Python makes a bound method for each of the two, and what it makes for a method in C is tracked by the
//! garbage collector and costs, made and freed, 400 instructions. Ours is a reference to the span and a pointer to code,
//! taken from a short list of used ones. Looked up on the class, the methods are what they would be without this.

#![allow(unsafe_code, reason = "two small types in C, with the layout that Python asks for")]

use std::ffi::{c_int, c_uint, c_void};
use std::mem::offset_of;
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::python::cell::Attached;
use crate::python::span::Span;

/// Used bound methods that are kept: two at a time are alive in a `with` statement, one inside the other.
const KEPT: usize = 16;

/// A span and one of its methods.
#[repr(C)]
struct Method {
    base: ffi::PyObject,
    code: ffi::vectorcallfunc,
    span: *mut ffi::PyObject,
}

/// What lies in the class under the method's name.
#[repr(C)]
struct Slot {
    base: ffi::PyObject,
    code: ffi::vectorcallfunc,
    /// The type of the bound methods.
    class: *mut ffi::PyTypeObject,
    /// The type of their spans.
    spans: *mut ffi::PyTypeObject,
    /// The method as Python itself would have it.
    plain: *mut ffi::PyObject,
}

struct Used {
    methods: [*mut ffi::PyObject; KEPT],
    count: usize,
}

// SAFETY: memory without an owner; who takes it is attached.
unsafe impl Send for Used {}

static USED: Attached<Used> = Attached::new(Used { methods: [ptr::null_mut(); KEPT], count: 0 });

impl Used {
    #[inline]
    fn pop(&mut self) -> Option<*mut ffi::PyObject> {
        self.count = self.count.checked_sub(1)?;
        self.methods.get(self.count).copied()
    }

    #[inline]
    fn push(&mut self, method: *mut ffi::PyObject) -> bool {
        let Some(place) = self.methods.get_mut(self.count) else { return false };
        *place = method;
        self.count += 1;
        true
    }
}

/// `descriptor.__get__(object, type)`.
unsafe extern "C" fn get(
    slot: *mut ffi::PyObject,
    object: *mut ffi::PyObject,
    _class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls us with a slot; it, the types and the plain method live as long as the interpreter.
    unsafe {
        let Slot { code, class, spans, plain, .. } = slot.cast::<Slot>().read();
        if object.is_null() {
            return ffi::Py_NewRef(plain);
        }
        if ffi::Py_TYPE(object) != spans {
            PyTypeError::new_err("a method of Span applies to spans only").restore(Python::assume_attached());
            return ptr::null_mut();
        }
        let used = USED.hold().pop();
        let method = match used {
            Some(method) => ffi::PyObject_Init(method, class),
            None => ffi::PyType_GenericAlloc(class, 0),
        };
        if !method.is_null() {
            let bound = method.cast::<Method>();
            (&raw mut (*bound).code).write(code);
            (&raw mut (*bound).span).write(ffi::Py_NewRef(object));
        }
        method
    }
}

unsafe extern "C" fn free(method: *mut ffi::PyObject) {
    // SAFETY: Python calls us with a bound method that nobody has any more.
    unsafe {
        let (class, span) = (ffi::Py_TYPE(method), (*method.cast::<Method>()).span);
        let kept = USED.hold().push(method);
        if !kept {
            ffi::PyObject_Free(method.cast());
        }
        ffi::Py_DECREF(class.cast());
        // Last: the span may go with it, and with that anything.
        ffi::Py_DECREF(span);
    }
}

/// The span behind a bound method.
///
/// # Safety
/// `method` is one.
#[inline]
pub(crate) unsafe fn span_of(method: *mut ffi::PyObject) -> *mut ffi::PyObject {
    unsafe { (*method.cast::<Method>()).span }
}

/// Puts cheap bound methods in the place of `plain` in the class of spans. `code` runs them.
pub(crate) fn install(
    py: Python<'_>,
    name: &Bound<'_, PyAny>,
    plain: &Bound<'_, PyAny>,
    code: ffi::vectorcallfunc,
) -> PyResult<()> {
    let spans = py.get_type::<Span>();
    let mut members = [
        ffi::PyMemberDef {
            name: c"__vectorcalloffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset_of!(Method, code).cast_signed(),
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        },
        ffi::PyMemberDef::default(),
    ];
    let class = make_type(
        py,
        c"ironspan.BoundMethod",
        size_of::<Method>(),
        ffi::Py_TPFLAGS_HAVE_VECTORCALL,
        &mut [
            (ffi::Py_tp_dealloc, free as *mut c_void),
            (ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            (ffi::Py_tp_members, members.as_mut_ptr().cast()),
        ],
    )?;
    let descriptors =
        make_type(py, c"ironspan.Method", size_of::<Slot>(), 0, &mut [(ffi::Py_tp_descr_get, get as *mut c_void)])?;
    // SAFETY: the object is new and of the size that its type names. What it refers to stays for as long as it does,
    // which is for ever: a reference of each is given away.
    let slot = unsafe {
        let slot = Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(descriptors.as_ptr().cast(), 0))?;
        let place = slot.as_ptr().cast::<Slot>();
        (&raw mut (*place).code).write(code);
        (&raw mut (*place).class).write(class.into_ptr().cast());
        (&raw mut (*place).spans).write(spans.clone().into_ptr().cast());
        (&raw mut (*place).plain).write(plain.clone().into_ptr());
        slot
    };
    spans.setattr(name.cast::<pyo3::types::PyString>()?, slot)
}

/// A type with the given slots, which Python copies.
fn make_type<'py>(
    py: Python<'py>,
    name: &'static std::ffi::CStr,
    size: usize,
    flags: std::ffi::c_ulong,
    slots: &mut [(c_int, *mut c_void)],
) -> PyResult<Bound<'py, PyAny>> {
    let mut slots: Vec<_> = slots.iter().map(|&(slot, pfunc)| ffi::PyType_Slot { slot, pfunc }).collect();
    slots.push(ffi::PyType_Slot::default());
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | flags;
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: c_int::try_from(size).unwrap_or(c_int::MAX),
        itemsize: 0,
        flags: c_uint::try_from(flags).unwrap_or(c_uint::MAX),
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the specification is complete; what must outlive the call is static or copied.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec)) }
}
