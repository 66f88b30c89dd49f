//! Messages and other long texts on their way out: whole when asked for, else cut to what a page can show.
//!
//! The collector writes messages in the shape of the GenAI conventions already, so they pass as they are; only what holds
//! a text that is too long is taken apart.

use serde_json::{Map, Value};

use super::json::Raw;

/// A text of more bytes comes cut.
pub(super) const LONGEST: usize = 32 << 10;

/// The first bytes of a text, ending between characters.
pub(super) fn head(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A JSON array as it was recorded; `None` when the text is none.
pub(super) fn array(text: &str, whole: bool) -> Option<Raw> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let items = value.as_array_mut()?;
    if whole || text.len() <= LONGEST {
        return Some(Raw(text.to_owned()));
    }
    items.iter_mut().for_each(cut_part);
    Some(Raw(value.to_string()))
}

/// Cuts the long texts of a message, of a part, of whatever holds them. The parser has bounded the depth.
fn cut_part(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(cut_part),
        Value::Object(map) => {
            let mut whole = 0;
            for member in map.values_mut() {
                match member {
                    Value::String(text) if text.len() > LONGEST => {
                        whole = whole.max(text.len());
                        *text = head(text).to_owned();
                    }
                    Value::String(_) => {}
                    other => cut_part(other),
                }
            }
            if whole > 0 {
                map.insert(String::from("whole"), Value::from(whole));
            }
        }
        Value::String(text) if text.len() > LONGEST => *value = cut_text(text),
        _ => {}
    }
}

fn cut_text(text: &str) -> Value {
    let mut map = Map::new();
    map.insert(String::from("type"), Value::from("text"));
    map.insert(String::from("content"), Value::from(head(text)));
    map.insert(String::from("whole"), Value::from(text.len()));
    Value::Object(map)
}

/// Attributes with their long texts cut, each to an object like a text part.
pub(super) fn cut_attributes(attributes: &mut Value) {
    if let Value::Object(map) = attributes {
        map.values_mut().for_each(cut_part);
    }
}

/// The messages of a JSON text, parsed; nothing when it is none.
pub(super) fn parsed(text: Option<&str>) -> Vec<Value> {
    match text.map(serde_json::from_str) {
        Some(Ok(Value::Array(items))) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_say_how_long_they_are() {
        let long = "é".repeat(LONGEST);
        let text = serde_json::json!([{"role": "user", "parts": [{"type": "text", "content": long}]}]).to_string();
        let cut: Value = serde_json::from_str(&array(&text, false).unwrap().0).unwrap();
        let part = &cut[0]["parts"][0];
        assert_eq!(part["whole"], 2 * LONGEST);
        assert_eq!(part["content"].as_str().unwrap().len(), LONGEST);
        assert_eq!(array(&text, true).unwrap().0, text);
        assert_eq!(array("{\"role\":1}", false), None);
        assert_eq!(array("nonsense", false), None);
    }

    #[test]
    fn short_ones_pass_as_they_are() {
        let text = r#"[{"role":"user","parts":[{"z":1,"a":2}]}]"#;
        assert_eq!(array(text, false).unwrap().0, text);
    }
}
