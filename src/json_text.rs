//! Text that claims to be JSON (RFC 8259): checked and copied in one pass, without white space and with long strings
//! shortened. Models send the arguments of tool calls as such text; here it becomes part of a larger JSON text without
//! a tree in between, with the order of keys and the spelling of numbers kept.

/// Deepest nesting that is taken for JSON; the nesting lives in the bits of one word.
const MAX_DEPTH: u32 = 64;

/// Appends `text` to `out` if it is one JSON value and says whether a string was shortened to `limit` characters.
/// `None`, and nothing appended, where the text is no JSON, is nested too deep, or has what other readers refuse
/// (numbers beyond a double, halves of surrogate pairs).
pub(crate) fn copy(text: &str, limit: Option<usize>, out: &mut String) -> Option<bool> {
    let start = out.len();
    let mut copier = Copier { text, at: 0, limit, cut: false, out };
    if copier.document().is_some() {
        return Some(copier.cut);
    }
    out.truncate(start);
    None
}

struct Copier<'t, 'o> {
    text: &'t str,
    at: usize,
    limit: Option<usize>,
    cut: bool,
    out: &'o mut String,
}

impl Copier<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Copies one byte of punctuation that stands next.
    fn punctuation(&mut self, expected: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == expected).then(|| {
            self.at += 1;
            self.out.push(char::from(expected));
        })
    }

    fn document(&mut self) -> Option<()> {
        // Bit n says whether the container at depth n is an object.
        let (mut depth, mut objects) = (0_u32, 0_u64);
        loop {
            self.skip_space();
            let opened = match self.peek()? {
                b'{' => Some((b'{', b'}')),
                b'[' => Some((b'[', b']')),
                b'"' => {
                    self.string(self.limit)?;
                    None
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    None
                }
                _ => {
                    self.literal()?;
                    None
                }
            };
            let mut opened_only = false;
            if let Some((open, close)) = opened {
                if depth == MAX_DEPTH {
                    return None;
                }
                self.punctuation(open)?;
                if self.punctuation(close).is_none() {
                    objects = objects & !(1 << depth) | u64::from(open == b'{') << depth;
                    depth += 1;
                    opened_only = true;
                }
            }
            loop {
                if opened_only {
                    break;
                }
                let Some(inner) = depth.checked_sub(1) else {
                    self.skip_space();
                    return self.peek().is_none().then_some(());
                };
                if self.punctuation(b',').is_some() {
                    break;
                }
                self.punctuation(if objects >> inner & 1 == 1 { b'}' } else { b']' })?;
                depth = inner;
            }
            if depth > 0 && objects >> (depth - 1) & 1 == 1 {
                self.skip_space();
                // A key that were shortened could become equal to its neighbour.
                self.string(None)?;
                self.punctuation(b':')?;
            }
        }
    }

    fn literal(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word))?;
        self.at += word.len();
        self.out.push_str(word);
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.text.get(start..self.at)?;
        number.parse::<f64>().ok().filter(|number| number.is_finite())?;
        self.out.push_str(number);
        Some(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, 16).ok()
    }

    /// Bytes of the escape that stands next.
    fn escape(&self) -> Option<usize> {
        match self.text.as_bytes().get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
            b'u' => match self.hex(self.at + 2)? {
                0xD800..=0xDBFF => {
                    let low = self.text.get(self.at + 6..)?.starts_with("\\u").then(|| self.hex(self.at + 8))??;
                    (0xDC00..=0xDFFF).contains(&low).then_some(12)
                }
                0xDC00..=0xDFFF => None,
                _ => Some(6),
            },
            _ => None,
        }
    }

    fn string(&mut self, limit: Option<usize>) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at;
        self.at += 1;
        let (mut characters, mut kept_to) = (0_usize, None);
        loop {
            let byte = self.peek()?;
            if byte == b'"' {
                break;
            }
            // Bytes 0x80..0xC0 continue a character.
            if byte & 0xC0 != 0x80 {
                if kept_to.is_none() && limit == Some(characters) {
                    kept_to = Some(self.at);
                }
                characters += 1;
            }
            self.at += match byte {
                0..=0x1F => return None,
                b'\\' => self.escape()?,
                _ => 1,
            };
        }
        self.out.push_str(self.text.get(start..kept_to.unwrap_or(self.at))?);
        self.out.push('"');
        self.at += 1;
        self.cut |= kept_to.is_some();
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn copied(text: &str, limit: Option<usize>) -> Option<String> {
        let mut out = String::from("<");
        let done = copy(text, limit, &mut out);
        assert_eq!(done.is_none(), out == "<");
        done.map(|_| out.split_off(1))
    }

    #[test]
    fn json_is_copied_without_white_space_and_with_order_and_numbers_as_they_were() {
        let text =
            " { \"b\" : [ 1.50 , -0 , 1e2 , true , null , { } , [ ] ] ,\n\"a\" : \"x\\n\\u00e9\\ud83d\\ude00\" } ";
        let expected = r#"{"b":[1.50,-0,1e2,true,null,{},[]],"a":"x\n\u00e9\ud83d\ude00"}"#;
        assert_eq!(copied(text, None).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_not_json_leaves_nothing_behind() {
        for text in
            ["", "{", "{'a':1}", "[1,]", "{\"a\"}", "01", "1 2", "nul", "\"\\ud800\"", "\"\u{1}\"", "1e999", "é"]
        {
            assert_eq!(copied(text, None), None, "{text}");
        }
        assert_eq!(copied(&"[".repeat(100_000), None), None);
    }

    #[test]
    fn long_strings_are_shortened_by_characters_and_keys_are_not() {
        let mut out = String::new();
        assert_eq!(copy(r#"{"kéys":"é\u00e9xyz"}"#, Some(2), &mut out), Some(true));
        assert_eq!(out, r#"{"kéys":"é\u00e9"}"#);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_a_json_parser_accepts(text in r#"[\[\]{}":,0-9a-z\\u. eE+-]{0,24}"#) {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            match copied(&text, None) {
                Some(copy) => {
                    prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&copy).unwrap(), parsed.unwrap());
                }
                None => prop_assert!(parsed.is_err(), "{}", text),
            }
        }
    }
}
