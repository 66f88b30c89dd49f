//! Answers as JSON text, written straight into one string.
//!
//! No derive and no tree of values: a trace of 10,000 spans is twelve columns of numbers, and keys come in the order of
//! the contract (`docs/viewer-api.md`). Not-a-number and infinities become `null`, as JSON has neither.

use crate::json::write_str;
use crate::kind::Kind;
use crate::store::read::words::Status;

/// Something that an answer holds.
pub trait Json {
    /// Appends it to `out`.
    fn write(&self, out: &mut String);

    /// It alone, as text.
    fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A JSON object that is being written.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> Object<'o> {
    /// Opens one at the end of `out`.
    pub fn new(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Writes one member.
    pub fn put(&mut self, key: &str, value: &(impl Json + ?Sized)) {
        self.key(key);
        value.write(self.out);
    }

    /// Writes one member by hand: `write` appends exactly one JSON value.
    pub fn with(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        self.key(key);
        write(self.out);
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
        write_str(key, self.out);
        self.out.push(':');
    }
}

/// Writes an object with these members.
macro_rules! object {
    ($out:expr, $($key:literal: $value:expr),* $(,)?) => {{
        let mut object = $crate::store::read::json::Object::new($out);
        $(object.put($key, &$value);)*
        object.end();
    }};
}
pub(crate) use object;

/// Writes a JSON array; `write` appends one value for each item.
pub fn write_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(T, &mut String)) {
    out.push('[');
    let mut empty = true;
    for item in items {
        if !std::mem::take(&mut empty) {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// A time, nanoseconds since the Unix epoch: text, because it does not fit a JavaScript number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Json for Time {
    fn write(&self, out: &mut String) {
        out.push('"');
        self.0.write(out);
        out.push('"');
    }
}

/// Text that is JSON already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub String);

impl Json for Raw {
    fn write(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Json for $type {
            fn write(&self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(*self));
            }
        }
    )*};
}
integers!(i64, i32, u64, u32, u16, usize);

impl Json for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl Json for f64 {
    fn write(&self, out: &mut String) {
        if self.is_finite() {
            crate::json::write_float(*self, out);
        } else {
            out.push_str("null");
        }
    }
}

impl Json for str {
    fn write(&self, out: &mut String) {
        write_str(self, out);
    }
}

impl Json for String {
    fn write(&self, out: &mut String) {
        write_str(self, out);
    }
}

impl Json for Kind {
    fn write(&self, out: &mut String) {
        self.name().write(out);
    }
}

impl Json for Status {
    fn write(&self, out: &mut String) {
        self.name().write(out);
    }
}

impl Json for serde_json::Value {
    fn write(&self, out: &mut String) {
        use std::fmt::Write as _;
        // Writing into a string cannot fail.
        let _ = write!(out, "{self}");
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: Json> Json for [T] {
    fn write(&self, out: &mut String) {
        write_list(out, self, Json::write);
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: Json, const N: usize> Json for [T; N] {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

macro_rules! tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: Json),*> Json for ($($name,)*) {
            #[allow(non_snake_case, reason = "the letters are the types")]
            fn write(&self, out: &mut String) {
                let ($($name,)*) = self;
                let mut mark = '[';
                $(out.push(std::mem::replace(&mut mark, ',')); $name.write(out);)*
                out.push(']');
            }
        }
    )*};
}
tuples!((A, B)(A, B, C)(A, B, C, D));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_lacks_is_null_and_times_are_text() {
        let mut out = String::new();
        object!(&mut out, "n": f64::NAN, "t": Time(-7), "l": [(1_i64, "a\"\n")], "o": None::<i64>, "k": Kind::Tool);
        assert_eq!(out, r#"{"n":null,"t":"-7","l":[[1,"a\"\n"]],"o":null,"k":"tool"}"#);
    }
}
