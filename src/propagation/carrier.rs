//! What the formats read from: the [`Carrier`] trait, and [`Headers`], a plain list that fits HTTP headers, gRPC
//! metadata, message properties and the `_meta` object of MCP alike.

use super::MAX_HEADER_BYTES;

/// A source of named text values.
pub trait Carrier {
    /// Calls `each` with every value under `name`, in order. The name is a lowercase field name, or one that
    /// [`Self::keys`] gave; carriers whose names have no case (HTTP) must find every spelling.
    ///
    /// A value that is not UTF-8 is to be given as `String::from_utf8_lossy`: every format refuses U+FFFD, and a
    /// value left out instead could turn two contradicting headers into one valid one.
    fn get_all(&self, name: &str, each: &mut dyn FnMut(&str));

    /// Calls `each` with every name. Needed by formats that put data into names (Jaeger `uberctx-*`).
    fn keys(&self, each: &mut dyn FnMut(&str));
}

/// What several values under one name mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeated {
    /// They are lines of one header (HTTP, gRPC metadata).
    #[default]
    All,
    /// The last one replaces the others (Kafka and other brokers, where forwarding appends).
    Last,
}

/// A list of names and values; names are compared without case.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    entries: Vec<(String, String)>,
    repeated: Repeated,
}

impl Headers {
    /// An empty list.
    #[must_use]
    pub const fn new(repeated: Repeated) -> Self {
        Self { entries: Vec::new(), repeated }
    }

    /// Adds a value; `None`, which message brokers know, counts as absent.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            // Too long is as good as invalid: not worth copying, but not to be overlooked either.
            let value = if value.len() > MAX_HEADER_BYTES { "\u{fffd}" } else { value };
            self.entries.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Adds a value of bytes. A name that is not UTF-8 is none of ours and passed over; a value that is not UTF-8 is
    /// kept as invalid.
    pub fn push_bytes(&mut self, name: &[u8], value: Option<&[u8]>) {
        if let (Ok(name), Some(value)) = (std::str::from_utf8(name), value) {
            self.push(name, Some(std::str::from_utf8(value).unwrap_or("\u{fffd}")));
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new(Repeated::All);
        for (name, value) in pairs {
            headers.push(name.as_ref(), Some(value.as_ref()));
        }
        headers
    }
}

impl Carrier for Headers {
    fn get_all(&self, name: &str, each: &mut dyn FnMut(&str)) {
        let mut values =
            self.entries.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        match self.repeated {
            Repeated::All => values.for_each(each),
            Repeated::Last => values.next_back().into_iter().for_each(each),
        }
    }

    fn keys(&self, each: &mut dyn FnMut(&str)) {
        for (name, _) in &self.entries {
            each(name);
        }
    }
}
