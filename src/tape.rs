//! The byte tape: how a span's values are written on the caller's thread and read everywhere else.
//!
//! One append-only buffer of tagged values. The caller copies structure, scalars and character arrays as they are (a
//! Python `str` may be one, two or four bytes wide); text becomes UTF-8, and structure becomes JSON, in the collector.
//! Containers are bracketed, so that a walker needs no second pass. The reader is total: bytes that are not a tape end
//! the walk instead of panicking.

use std::borrow::Cow;

use crate::alloc;

/// Tags of the values on a tape. The numbers never leave the process.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const UTF8: u8 = 5;
    pub(super) const LATIN1: u8 = 6;
    pub(super) const UCS2: u8 = 7;
    pub(super) const UCS4: u8 = 8;
    pub(super) const BYTES: u8 = 9;
    pub(super) const BIG_INT: u8 = 10;
    pub(super) const LIST: u8 = 11;
    pub(super) const MAP: u8 = 12;
    pub(super) const OBJECT: u8 = 13;
    pub(super) const END: u8 = 14;
    pub(super) const OPAQUE: u8 = 15;
    pub(super) const CUT: u8 = 16;
    pub(super) const KEY: u8 = 17;
}

/// How the characters of a [`Text`] are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// UTF-8, valid.
    Utf8,
    /// One byte a character, ISO 8859-1.
    Latin1,
    /// Two bytes a character, native order; surrogates are possible.
    Ucs2,
    /// Four bytes a character, native order; surrogates are possible.
    Ucs4,
}

/// Text as it lies on the tape, not yet UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// The characters.
    pub bytes: &'a [u8],
    /// How to read them.
    pub width: Width,
}

impl<'a> Text<'a> {
    /// Text that is UTF-8 already.
    #[must_use]
    pub fn utf8(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), width: Width::Utf8 }
    }

    /// Calls `each` with every character; a lone surrogate or a number beyond Unicode becomes U+FFFD.
    fn characters(self, mut each: impl FnMut(char)) {
        match self.width {
            Width::Utf8 => String::from_utf8_lossy(self.bytes).chars().for_each(each),
            Width::Latin1 => self.bytes.iter().for_each(|&byte| each(char::from(byte))),
            Width::Ucs2 => self.bytes.chunks_exact(2).for_each(|pair| {
                let unit = pair.try_into().map_or(0xFFFD, u16::from_ne_bytes);
                each(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }),
            Width::Ucs4 => self.bytes.chunks_exact(4).for_each(|quad| {
                let unit = quad.try_into().map_or(0xFFFD, u32::from_ne_bytes);
                each(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }),
        }
    }

    /// The text as UTF-8, borrowed where the tape holds it so.
    #[must_use]
    pub fn to_str(self) -> Cow<'a, str> {
        match self.width {
            Width::Utf8 => String::from_utf8_lossy(self.bytes),
            Width::Latin1 if self.bytes.is_ascii() => String::from_utf8_lossy(self.bytes),
            _ => {
                let mut out = String::with_capacity(self.bytes.len());
                self.characters(|character| out.push(character));
                Cow::Owned(out)
            }
        }
    }
}

/// Why the walker stopped inside a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// Deeper than the depth limit, or a cycle, which cannot be told from it.
    Depth = 0,
    /// More nodes than the node limit.
    Nodes = 1,
    /// More bytes than the span may hold.
    Bytes = 2,
    /// The value failed while it was read.
    Failed = 3,
}

impl Cut {
    /// The mark that stands in the value's place.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Depth => "<cut: too deep>",
            Self::Nodes => "<cut: too many items>",
            Self::Bytes => "<cut: too large>",
            Self::Failed => "<unreadable>",
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Depth,
            1 => Self::Nodes,
            2 => Self::Bytes,
            _ => Self::Failed,
        }
    }
}

/// One step of a tape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// `None`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A double, NaN and infinities included.
    Float(f64),
    /// Text.
    Text(Text<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An integer beyond 64 bits, as decimal digits.
    BigInt(&'a str),
    /// A sequence begins; values follow until [`Token::End`].
    List,
    /// A mapping begins; key and value alternate until [`Token::End`].
    Map,
    /// An object begins: its type's name, then as a map.
    Object(Text<'a>),
    /// The innermost container ends.
    End,
    /// An object of which only the type's name is known.
    Opaque(Text<'a>),
    /// The walker stopped here.
    Cut(Cut),
    /// A key of [`crate::keys`], by number.
    Key(u16),
}

/// Copies `count` bytes; up to 32 by two loads that may overlap.
///
/// # Safety
/// `from` is good for reading and `to` for writing `count` bytes, and the two do not overlap.
#[allow(unsafe_code, reason = "as where it is called")]
#[inline]
unsafe fn copy_short(from: *const u8, to: *mut u8, count: usize) {
    /// Both ends of the bytes, each as a `T`.
    #[inline]
    unsafe fn ends<T: Copy>(from: *const u8, to: *mut u8, last: usize) {
        unsafe {
            let (head, tail) = (from.cast::<T>().read_unaligned(), from.add(last).cast::<T>().read_unaligned());
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    unsafe {
        match count {
            0 => {}
            1 => to.write(from.read()),
            2..4 => ends::<u16>(from, to, count - 2),
            4..8 => ends::<u32>(from, to, count - 4),
            8..16 => ends::<u64>(from, to, count - 8),
            16..=32 => ends::<u128>(from, to, count - 16),
            _ => std::ptr::copy_nonoverlapping(from, to, count),
        }
    }
}

/// Appends values to a tape.
#[derive(Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
    /// There was no memory to write on with; see [`Tape::is_short`].
    short: bool,
}

impl Tape {
    /// An empty tape with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), short: false }
    }

    /// Whether memory ran out while it was written: from then on nothing was added, so that what was begun last is to be
    /// taken back with [`Tape::truncate`].
    #[must_use]
    #[inline]
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Whether `more` bytes fit as it is.
    #[inline]
    fn fits(&self, more: usize) -> bool {
        self.bytes.capacity() - self.bytes.len() >= more && !self.short
    }

    /// Makes room for `more` bytes, and says whether there is. A tape asks before it grows, because an allocation that
    /// fails otherwise ends the process.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> bool {
        self.short |= alloc::is_scarce() || self.bytes.try_reserve(more).is_err();
        !self.short
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.fits(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.write_grown(bytes);
        }
    }

    // Apart, so that what is written nearly always has no registers to save for it.
    #[cold]
    #[inline(never)]
    fn write_grown(&mut self, bytes: &[u8]) {
        if self.grow(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// What has been written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes written.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes held, written or not: what a budget has to count.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets the content and keeps the memory, unless that is more than `keep` bytes.
    pub fn reset(&mut self, keep: usize) {
        self.bytes.clear();
        self.short = false;
        if self.bytes.capacity() > keep {
            self.bytes.shrink_to(keep);
        }
    }

    /// Takes back everything after `len` bytes: how a half-written value is undone.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.short = false;
    }

    /// Gives unused memory back when there is much of it: what waits in a queue is charged by capacity.
    pub fn trim(&mut self) {
        let unused = self.bytes.capacity() - self.bytes.len();
        if unused > 4096 && unused > self.bytes.len() / 4 {
            self.bytes.shrink_to_fit();
        }
    }

    /// The bytes, without memory to spare.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    /// Copies another tape's bytes as they are.
    pub fn extend(&mut self, other: &[u8]) {
        self.write(other);
    }

    #[inline]
    fn tagged(&mut self, tag: u8, payload: &[u8]) {
        let Ok(short @ 0..=254) = u8::try_from(payload.len()) else { return self.tagged_slow(tag, payload) };
        if !self.fits(payload.len() + 2) {
            return self.tagged_slow(tag, payload);
        }
        // Most of what a span holds comes through here.
        let start = self.bytes.len();
        // SAFETY: there is room for two bytes and the payload, which no tape's own memory can be a part of.
        #[allow(unsafe_code, reason = "a copy of some bytes costs less than the call that copies")]
        unsafe {
            let place = self.bytes.as_mut_ptr().add(start);
            place.write(tag);
            place.add(1).write(short);
            copy_short(payload.as_ptr(), place.add(2), payload.len());
            self.bytes.set_len(start + 2 + payload.len());
        }
    }

    /// A length is one byte up to 254, else 255 and four bytes. Payloads are far below 4 GiB: a span is.
    #[inline(never)]
    fn tagged_slow(&mut self, tag: u8, payload: &[u8]) {
        if !self.fits(payload.len() + 6) && !self.grow(payload.len() + 6) {
            return;
        }
        if let Ok(short @ 0..=254) = u8::try_from(payload.len()) {
            self.bytes.extend_from_slice(&[tag, short]);
        } else {
            self.bytes.extend_from_slice(&[tag, 255]);
            self.bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        self.bytes.extend_from_slice(payload);
    }

    /// Writes `None`.
    pub fn null(&mut self) {
        self.write(&[tag::NULL]);
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) {
        self.write(&[if value { tag::TRUE } else { tag::FALSE }]);
    }

    /// Writes an integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        let mut cell = [tag::INT; 9];
        cell[1..].copy_from_slice(&value.to_le_bytes());
        self.write(&cell);
    }

    /// Writes a double.
    #[inline]
    pub fn float(&mut self, value: f64) {
        let mut cell = [tag::FLOAT; 9];
        cell[1..].copy_from_slice(&value.to_le_bytes());
        self.write(&cell);
    }

    /// Writes text that is UTF-8.
    #[inline]
    pub fn str(&mut self, text: &str) {
        self.tagged(tag::UTF8, text.as_bytes());
    }

    /// Writes text as it lies in memory.
    #[inline]
    pub fn text(&mut self, text: Text<'_>) {
        let tag = match text.width {
            Width::Utf8 => tag::UTF8,
            Width::Latin1 => tag::LATIN1,
            Width::Ucs2 => tag::UCS2,
            Width::Ucs4 => tag::UCS4,
        };
        self.tagged(tag, text.bytes);
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.tagged(tag::BYTES, bytes);
    }

    /// Writes an integer beyond 64 bits, given as decimal digits.
    pub fn big_int(&mut self, digits: &str) {
        self.tagged(tag::BIG_INT, digits.as_bytes());
    }

    /// Begins a sequence.
    pub fn list(&mut self) {
        self.write(&[tag::LIST]);
    }

    /// Begins a mapping.
    pub fn map(&mut self) {
        self.write(&[tag::MAP]);
    }

    /// Begins an object with the name of its type.
    pub fn object(&mut self, type_name: Text<'_>) {
        self.write(&[tag::OBJECT]);
        self.text(type_name);
    }

    /// Ends the innermost container.
    pub fn end(&mut self) {
        self.write(&[tag::END]);
    }

    /// Writes an object of which only the type's name is known.
    pub fn opaque(&mut self, type_name: Text<'_>) {
        self.write(&[tag::OPAQUE]);
        self.text(type_name);
    }

    /// Writes the mark of a cut.
    pub fn cut(&mut self, cut: Cut) {
        self.write(&[tag::CUT, cut as u8]);
    }

    /// Writes a key by number.
    #[inline]
    pub fn key(&mut self, key: u16) {
        let [low, high] = key.to_le_bytes();
        self.write(&[tag::KEY, low, high]);
    }
}

/// Walks a tape from its start.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, tail) = self.rest.split_first()?;
        self.rest = tail;
        Some(first)
    }

    fn payload(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            255 => u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize,
            short => usize::from(short),
        };
        self.take(length)
    }

    fn inner_text(&mut self) -> Option<Text<'a>> {
        // Looked at first: an object named by an object named by an object would else recurse as deep as the bytes go.
        if !matches!(self.rest.first(), Some(&(tag::UTF8 | tag::LATIN1 | tag::UCS2 | tag::UCS4))) {
            return None;
        }
        match self.next_token()? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The next token; `None` at the end, or where the bytes are no tape.
    pub fn next_token(&mut self) -> Option<Token<'a>> {
        let text = |bytes, width| Token::Text(Text { bytes, width });
        Some(match self.byte()? {
            tag::NULL => Token::Null,
            tag::FALSE => Token::Bool(false),
            tag::TRUE => Token::Bool(true),
            tag::INT => Token::Int(i64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            tag::FLOAT => Token::Float(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            tag::UTF8 => text(self.payload()?, Width::Utf8),
            tag::LATIN1 => text(self.payload()?, Width::Latin1),
            tag::UCS2 => text(self.payload()?, Width::Ucs2),
            tag::UCS4 => text(self.payload()?, Width::Ucs4),
            tag::BYTES => Token::Bytes(self.payload()?),
            tag::BIG_INT => Token::BigInt(std::str::from_utf8(self.payload()?).ok()?),
            tag::LIST => Token::List,
            tag::MAP => Token::Map,
            tag::OBJECT => Token::Object(self.inner_text()?),
            tag::END => Token::End,
            tag::OPAQUE => Token::Opaque(self.inner_text()?),
            tag::CUT => Token::Cut(Cut::from_byte(self.byte()?)),
            tag::KEY => Token::Key(u16::from_le_bytes(self.take(2)?.try_into().ok()?)),
            _ => return None,
        })
    }

    /// Skips one whole value, containers included, and returns its bytes.
    pub fn skip_value(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        let whole = match self.next_token()? {
            Token::List | Token::Map | Token::Object(_) => self.skip_open(1),
            token => token != Token::End,
        };
        if whole { start.get(..start.len() - self.rest.len()) } else { None }
    }

    /// Skips to behind the end of the `open` innermost containers and says whether they ended.
    pub fn skip_open(&mut self, mut open: usize) -> bool {
        while open > 0 {
            match self.next_token() {
                Some(Token::List | Token::Map | Token::Object(_)) => open += 1,
                Some(Token::End) => open -= 1,
                Some(_) => {}
                None => return false,
            }
        }
        true
    }
}
