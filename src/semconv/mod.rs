//! What a step means on the wire: from the payloads of a record to GenAI attributes.
//!
//! The caller hands over what it has (messages in any provider's shape, documents, usage); the words and shapes of the
//! GenAI semantic conventions are made here, off the caller's thread.

mod documents;
mod facts;
mod finish;
#[doc(hidden)]
pub mod fuzz;
mod generation;
mod kinds;
mod media;
mod messages;
mod parts;
mod provider;
mod request;
mod response;
mod seed;
mod stream;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
mod testing;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests_blocks;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests_kinds;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests_messages;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests_responses;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests_stream;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests_total;
mod tools;
mod usage;
mod view;

use crate::kind::{Kind, Outcome};
use crate::resolve::attributes::AttributeSet;
use facts::Facts;

/// The payloads of one span, each one value in the tape's encoding (or several, in order, where they add up).
#[derive(Debug, Default)]
pub struct Payloads<'a> {
    /// [`crate::keys::Key::Name`], as text.
    pub name: String,
    /// [`crate::keys::Key::Input`].
    pub input: Option<&'a [u8]>,
    /// [`crate::keys::Key::Output`].
    pub output: Option<&'a [u8]>,
    /// [`crate::keys::Key::Messages`].
    pub messages: Option<&'a [u8]>,
    /// [`crate::keys::Key::Params`].
    pub params: Option<&'a [u8]>,
    /// [`crate::keys::Key::Tools`].
    pub tools: Option<&'a [u8]>,
    /// [`crate::keys::Key::Prompt`].
    pub prompt: Option<&'a [u8]>,
    /// [`crate::keys::Key::Model`].
    pub model: Option<&'a [u8]>,
    /// [`crate::keys::Key::Provider`].
    pub provider: Option<&'a [u8]>,
    /// [`crate::keys::Key::Query`].
    pub query: Option<&'a [u8]>,
    /// [`crate::keys::Key::Source`].
    pub source: Option<&'a [u8]>,
    /// [`crate::keys::Key::TopK`].
    pub top_k: Option<&'a [u8]>,
    /// [`crate::keys::Key::Documents`].
    pub documents: Option<&'a [u8]>,
    /// [`crate::keys::Key::Arguments`].
    pub arguments: Option<&'a [u8]>,
    /// [`crate::keys::Key::CallId`].
    pub call_id: Option<&'a [u8]>,
    /// [`crate::keys::Key::Description`].
    pub description: Option<&'a [u8]>,
    /// [`crate::keys::Key::Role`].
    pub role: Option<&'a [u8]>,
    /// [`crate::keys::Key::Usage`], in order.
    pub usage: Vec<&'a [u8]>,
    /// [`crate::keys::Key::Cost`].
    pub cost: Option<&'a [u8]>,
    /// [`crate::keys::Key::FinishReason`], in order.
    pub finish_reasons: Vec<&'a [u8]>,
    /// Seconds from the start to the first chunk of a stream.
    pub first_chunk_seconds: Option<f64>,
    /// Chunks of a stream.
    pub chunks: Option<i64>,
    /// How the step ended: what an answer without a finish reason is taken for.
    pub outcome: Outcome,
}

/// Writes the attributes that follow from `kind` and `payloads`, and returns the span's name on the wire. An attribute
/// that is set already stays as it is: the user named it.
#[must_use]
pub fn describe(kind: Kind, payloads: &Payloads<'_>, out: &mut AttributeSet) -> String {
    let mut facts = Facts::new(out);
    let name = kinds::describe(kind, payloads, &mut facts);
    seed::complete(kind, &mut facts);
    name
}
