//! Names that users know from tutorials and older conventions. They stay on the span as the user set them, and what they
//! mean is added under the current name, since no reader understands the old ones.

use crate::kind::Kind;
use crate::semconv::facts::{Facts, Payload};
use crate::semconv::messages::{Messages, Proof, Side};
use crate::semconv::response::Response;
use crate::semconv::view::View;

/// Counts under older names, and the current ones.
const COUNTS: [(&str, &str); 8] = [
    ("llm.prompt_tokens", "gen_ai.usage.input_tokens"),
    ("llm.completion_tokens", "gen_ai.usage.output_tokens"),
    ("llm.usage.prompt_tokens", "gen_ai.usage.input_tokens"),
    ("llm.usage.completion_tokens", "gen_ai.usage.output_tokens"),
    ("llm.token_count.prompt", "gen_ai.usage.input_tokens"),
    ("llm.token_count.completion", "gen_ai.usage.output_tokens"),
    ("gen_ai.usage.prompt_tokens", "gen_ai.usage.input_tokens"),
    ("gen_ai.usage.completion_tokens", "gen_ai.usage.output_tokens"),
];

/// Adds the current names of what the span has under older ones only.
pub(super) fn complete(kind: Kind, facts: &mut Facts<'_>) {
    for (old, new) in COUNTS {
        if let Some(count) = facts.get(old).and_then(|value| View::new(value).count()) {
            facts.int(new, count);
        }
    }
    if let Some(role) = facts.copy_of("agent.role") {
        let role = View::new(&role);
        // A role is a kind of name: it stands in where an agent has no other.
        facts.text("gen_ai.agent.name", role);
        facts.text("ironspan.agent.role", role);
    }
    if let Some(query) = facts.copy_of("agent.input.query") {
        let query = View::new(&query);
        facts.payload(Payload::Input, query);
        if kind == Kind::Agent {
            facts.json("gen_ai.input.messages", query, |out| {
                Messages::new(out, Side::Input, Proof::Said).array(query, &mut Response::default())
            });
        }
    }
}
