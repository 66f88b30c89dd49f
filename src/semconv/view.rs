//! Looking at one value on a tape without copying it: fields of mappings and objects by name, items of sequences.
//!
//! Each look is one walk over the value's bytes, so nothing here may be called once per item on the whole sequence.
//! `None` in the caller's value counts as not given: objects carry every field their type has.

use std::borrow::Cow;

use crate::tape::{Reader, Text, Token, Width};

/// One value on a tape.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
}

/// Whether text is `name`, which is ASCII.
pub(super) fn is_text(text: Text<'_>, name: &str) -> bool {
    match text.width {
        Width::Utf8 | Width::Latin1 => text.bytes == name.as_bytes(),
        Width::Ucs2 | Width::Ucs4 => text.to_str() == name,
    }
}

impl<'a> View<'a> {
    /// The value that begins `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The value in the tape's encoding.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// What the value is or begins with.
    pub(super) fn token(self) -> Option<Token<'a>> {
        Reader::new(self.bytes).next_token()
    }

    /// The text, if it is one.
    pub(super) fn text(self) -> Option<Text<'a>> {
        match self.token() {
            Some(Token::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The text as UTF-8, if it is one.
    pub(super) fn str(self) -> Option<Cow<'a, str>> {
        self.text().map(Text::to_str)
    }

    /// A word of a closed set: text, or a member of an enumeration (`MessageRole.USER`), which lies on the tape as an
    /// object with its value or as the text of its name.
    pub(super) fn word(self) -> Option<Cow<'a, str>> {
        let text = match self.token()? {
            Token::Text(text) => text,
            Token::Object(_) => self.pick(["_value_", "value"]).into_iter().flatten().find_map(View::text)?,
            _ => return None,
        };
        Some(match text.to_str() {
            Cow::Borrowed(word) => Cow::Borrowed(word.rsplit('.').next().unwrap_or(word)),
            Cow::Owned(word) => Cow::Owned(word),
        })
    }

    /// Whether it is a sequence.
    pub(super) fn is_list(self) -> bool {
        self.token() == Some(Token::List)
    }

    /// Whether it is a mapping or an object.
    pub(super) fn is_map(self) -> bool {
        matches!(self.token(), Some(Token::Map | Token::Object(_)))
    }

    /// Whether it is nothing: absent, `None`, empty text or an empty container.
    pub(super) fn is_empty(self) -> bool {
        let mut reader = Reader::new(self.bytes);
        match reader.next_token() {
            None | Some(Token::Null | Token::End) => true,
            Some(Token::Text(text)) => text.bytes.is_empty(),
            Some(Token::List | Token::Map | Token::Object(_)) => {
                matches!(reader.next_token(), None | Some(Token::End))
            }
            Some(_) => false,
        }
    }

    /// Whether the walker left something out inside the value.
    pub(super) fn has_cut(self) -> bool {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(|| reader.next_token()).any(|token| matches!(token, Token::Cut(_)))
    }

    /// The class of an object without its module.
    pub(super) fn class(self) -> Option<Cow<'a, str>> {
        match self.token()? {
            Token::Object(name) | Token::Opaque(name) => Some(match name.to_str() {
                Cow::Borrowed(name) => Cow::Borrowed(name.rsplit('.').next().unwrap_or(name)),
                Cow::Owned(name) => Cow::Owned(name.rsplit('.').next().unwrap_or(&name).to_owned()),
            }),
            _ => None,
        }
    }

    /// Items of a sequence; none of anything else.
    pub(super) fn items(self) -> Items<'a> {
        let mut reader = Reader::new(self.bytes);
        match reader.next_token() {
            Some(Token::List) => Items { reader: Some(reader) },
            _ => Items { reader: None },
        }
    }

    /// The first item of a sequence.
    pub(super) fn first(self) -> Option<View<'a>> {
        self.items().next()
    }

    /// Pairs of a mapping or object, where the key is text; none of anything else.
    pub(super) fn pairs(self) -> Pairs<'a> {
        let mut reader = Reader::new(self.bytes);
        match reader.next_token() {
            Some(Token::Map | Token::Object(_)) => Pairs { reader: Some(reader) },
            _ => Pairs { reader: None },
        }
    }

    /// The values under `names` in one walk; the last of a repeated key wins.
    pub(super) fn pick<const N: usize>(self, names: [&str; N]) -> [Option<View<'a>>; N] {
        let mut found = [None; N];
        for (key, value) in self.pairs() {
            for (name, slot) in names.iter().zip(found.iter_mut()) {
                if is_text(key, name) {
                    if value.token() != Some(Token::Null) {
                        *slot = Some(value);
                    }
                    break;
                }
            }
        }
        found
    }

    /// The value under `name`.
    pub(super) fn get(self, name: &str) -> Option<View<'a>> {
        let [found] = self.pick([name]);
        found
    }

    /// A count: an integer that is not negative, or a double that is one. Booleans are no counts.
    pub(super) fn count(self) -> Option<i64> {
        match self.token()? {
            Token::Int(value) if value >= 0 => Some(value),
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the range by the guard")]
            Token::Float(value) if value.fract() == 0.0 && (0.0..9.0e15).contains(&value) => Some(value as i64),
            _ => None,
        }
    }

    /// An integer, also one that is negative or came as a double.
    pub(super) fn int(self) -> Option<i64> {
        match self.token()? {
            Token::Int(value) => Some(value),
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the range by the guard")]
            Token::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(value as i64),
            _ => None,
        }
    }

    /// A finite double, also one that came as an integer.
    pub(super) fn float(self) -> Option<f64> {
        match self.token()? {
            Token::Float(value) if value.is_finite() => Some(value),
            #[expect(clippy::cast_precision_loss, reason = "the wire has a double for it")]
            Token::Int(value) => Some(value as f64),
            _ => None,
        }
    }

    /// Whether it is `True`.
    pub(super) fn is_true(self) -> bool {
        self.token() == Some(Token::Bool(true))
    }
}

/// Items of a sequence. Ends where the bytes are no tape.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    reader: Option<Reader<'a>>,
}

impl<'a> Iterator for Items<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        let item = self.reader.as_mut()?.skip_value();
        if item.is_none() {
            self.reader = None;
        }
        item.map(View::new)
    }
}

/// Pairs of a mapping. Ends where the bytes are no tape; keys that are no text are passed over.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a> {
    reader: Option<Reader<'a>>,
}

impl<'a> Pairs<'a> {
    fn step(&mut self) -> Option<(Option<Text<'a>>, View<'a>)> {
        let reader = self.reader.as_mut()?;
        let key = View::new(reader.skip_value()?).text();
        Some((key, View::new(reader.skip_value()?)))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Text<'a>, View<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Some((Some(key), value)) => return Some((key, value)),
                Some((None, _)) => {}
                None => {
                    self.reader = None;
                    return None;
                }
            }
        }
    }
}
