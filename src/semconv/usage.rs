//! Token counts and cost. One meaning for every provider: `input` holds all tokens that went in, cached ones included,
//! and `output` all that came out, reasoning included; the rest are subsets (GenAI semantic conventions, usage
//! attributes). What providers report differs from that, and this file is the only place that knows how.

use crate::semconv::facts::Facts;
use crate::semconv::view::View;
use crate::tape::Token;

/// Counts in the meaning of the conventions; `None` is unknown, which is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<i64>,
    output: Option<i64>,
    cached: Option<i64>,
    cache_write: Option<i64>,
    reasoning: Option<i64>,
    /// Audio, image and text tokens that went in.
    input_by: [Option<i64>; 3],
    /// The same of what came out.
    output_by: [Option<i64>; 3],
}

/// How the counts of a provider add up, where that is not the conventions' way.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    /// Tokens read from and written to a cache that `input_tokens` does not hold (Anthropic, Bedrock).
    beside_read: Option<i64>,
    beside_write: Option<i64>,
    /// Thoughts that `candidates_token_count` does not hold (Google).
    thoughts: Option<i64>,
    /// Prompts of hosted tools that `prompt_token_count` does not hold (Google).
    tool_prompt: Option<i64>,
    total: Option<i64>,
    /// The input count has a name whose providers leave the cache out.
    exclusive: bool,
}

impl Counts {
    /// Reads one mapping of counts; `None` where it holds none.
    pub(super) fn read(usage: View<'_>) -> Option<Self> {
        let (mut counts, mut parts) = (Self::default(), Parts::default());
        for (key, value) in usage.pairs() {
            counts.take(&key.to_str(), value, &mut parts);
        }
        counts.add_up(parts);
        (counts != Self::default()).then_some(counts)
    }

    /// Reads a mapping of counts, or one inside it.
    pub(super) fn find(value: View<'_>) -> Option<Self> {
        let [billed, consumed] = value.pick(["billed_units", "tokens"]);
        if let Some(mut counts) = billed.or(consumed).and_then(Self::read) {
            // Cohere says both; the conventions ask for what is billed.
            counts.fill(Self::read(value).unwrap_or_default());
            return Some(counts);
        }
        Self::read(value).or_else(|| {
            let nested = value.pick(["usage", "usage_metadata", "token_usage", "tokenUsage", "usageMetadata"]);
            nested.into_iter().flatten().find_map(Self::read)
        })
    }

    /// Whether the counts can be those of a call. Nothing went in where a framework had no counts and wrote zeros.
    fn is_reported(&self) -> bool {
        self.input != Some(0) || self.output.unwrap_or(0) > 0
    }

    /// Takes over what `other` has and this has not.
    fn fill(&mut self, other: Self) {
        self.combine(other, |known, _| known);
    }

    /// Takes over the subsets that another report of the same tokens has besides.
    fn complete(&mut self, other: Self) {
        if self.input == other.input && self.output == other.output {
            self.fill(other);
        }
    }

    fn take(&mut self, key: &str, value: View<'_>, parts: &mut Parts) {
        let slot = match key {
            "input_tokens" | "inputTokens" | "inputTokenCount" => {
                parts.exclusive = true;
                &mut self.input
            }
            "input" | "prompt_tokens" | "prompt_token_count" | "promptTokenCount" | "input_token_count"
            | "prompt_eval_count" | "promptTokens" => &mut self.input,
            "output"
            | "completion_tokens"
            | "output_tokens"
            | "candidates_token_count"
            | "candidatesTokenCount"
            | "outputTokens"
            | "outputTokenCount"
            | "generated_token_count"
            | "eval_count"
            | "completionTokens" => &mut self.output,
            "cached"
            | "cached_tokens"
            | "cached_content_token_count"
            | "cachedContentTokenCount"
            | "num_cached_tokens"
            | "prompt_cache_hit_tokens" => &mut self.cached,
            "cache_write" => &mut self.cache_write,
            "reasoning" | "reasoning_tokens" => &mut self.reasoning,
            "cache_read_input_tokens" | "cacheReadInputTokens" | "cacheReadInputTokenCount" => &mut parts.beside_read,
            "cache_creation_input_tokens"
            | "cache_write_input_tokens"
            | "cacheWriteInputTokens"
            | "cacheWriteInputTokenCount" => &mut parts.beside_write,
            "thoughts_token_count" | "thoughtsTokenCount" => &mut parts.thoughts,
            "tool_use_prompt_token_count" | "toolUsePromptTokenCount" => &mut parts.tool_prompt,
            "total_tokens" | "total_token_count" | "totalTokenCount" | "totalTokens" => &mut parts.total,
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" | "promptTokensDetails" => {
                return self.take_details(value, true);
            }
            "completion_tokens_details"
            | "output_tokens_details"
            | "output_token_details"
            | "candidates_tokens_details"
            | "candidatesTokensDetails" => return self.take_details(value, false),
            _ => return,
        };
        *slot = value.count().or(*slot);
    }

    fn take_details(&mut self, details: View<'_>, input: bool) {
        let by = |counts: &mut Self, modality: usize, count: Option<i64>| {
            let slots = if input { &mut counts.input_by } else { &mut counts.output_by };
            if let Some(slot) = slots.get_mut(modality) {
                // Most providers list every modality they know with a zero.
                *slot = count.filter(|&count| count > 0).or(*slot);
            }
        };
        if details.token() == Some(Token::List) {
            for item in details.items() {
                let [modality, snake, camel] = item.pick(["modality", "token_count", "tokenCount"]);
                let modality = match modality.and_then(View::word).as_deref() {
                    Some("AUDIO") => 0,
                    Some("IMAGE") => 1,
                    Some("TEXT") => 2,
                    _ => continue,
                };
                by(self, modality, snake.or(camel).and_then(View::count));
            }
            return;
        }
        let mut by_lifetime = None;
        for (key, value) in details.pairs() {
            let count = value.count();
            match &*key.to_str() {
                "cached_tokens" | "cache_read" if input => self.cached = count.or(self.cached),
                "cache_creation" | "cache_write" | "cache_write_tokens" if input => {
                    self.cache_write = count.or(self.cache_write);
                }
                "reasoning_tokens" | "reasoning" if !input => self.reasoning = count.or(self.reasoning),
                "audio_tokens" | "audio" => by(self, 0, count),
                "image_tokens" | "image" => by(self, 1, count),
                "text_tokens" | "text" => by(self, 2, count),
                // LangChain splits Anthropic's cache entries by their lifetime and leaves the sum at zero.
                key if input && key.starts_with("ephemeral_") => {
                    by_lifetime = count.map(|count| by_lifetime.unwrap_or(0_i64).saturating_add(count)).or(by_lifetime);
                }
                _ => {}
            }
        }
        if self.cache_write.unwrap_or(0) == 0 {
            self.cache_write = by_lifetime.or(self.cache_write);
        }
    }

    fn add_up(&mut self, parts: Parts) {
        let beside = parts.beside_read.unwrap_or(0).saturating_add(parts.beside_write.unwrap_or(0));
        // Details beside the input count, or a total that is input and output alone, say that the cache is in it.
        let detailed = self.cached.or(self.cache_write).is_some();
        let whole = self.input.zip(self.output).map(|(input, output)| input.saturating_add(output));
        // A total that holds them besides says that it is not, whatever the input is called.
        let is_beside = beside > 0 && parts.total == whole.map(|whole| whole.saturating_add(beside));
        if is_beside || parts.exclusive && !detailed && (parts.total.is_none() || parts.total != whole) {
            self.input = self.input.map(|input| input.saturating_add(beside));
        }
        self.cached = self.cached.or(parts.beside_read);
        self.cache_write = self.cache_write.or(parts.beside_write);
        if let Some(thoughts) = parts.thoughts {
            self.reasoning = self.reasoning.or(parts.thoughts);
            if parts.total.is_none() || parts.total != whole {
                self.output = Some(self.output.unwrap_or(0).saturating_add(thoughts));
            }
        }
        if let Some(prompt) = parts.tool_prompt {
            self.input = self.input.map(|input| input.saturating_add(prompt));
        }
    }

    /// Takes over what `later` knows.
    fn update(&mut self, later: Self) {
        self.combine(later, |_, later| later);
    }

    /// Takes over counts that a stream repeats as they grow. A later report may leave out a part of the input.
    pub(super) fn grow(&mut self, later: Self) {
        self.combine(later, i64::max);
    }

    /// Whether these are `before` again, grown: no two parts of one answer have each a prompt of their own.
    pub(super) fn repeats(&self, before: &Self) -> bool {
        self.input.is_some_and(|input| input > 0) && self.input == before.input && self.output >= before.output
    }

    /// Adds what `more` counts.
    pub(super) fn add(&mut self, more: Self) {
        self.combine(more, i64::saturating_add);
    }

    fn combine(&mut self, other: Self, combined: fn(i64, i64) -> i64) {
        let named = [
            (&mut self.input, other.input),
            (&mut self.output, other.output),
            (&mut self.cached, other.cached),
            (&mut self.cache_write, other.cache_write),
            (&mut self.reasoning, other.reasoning),
        ];
        let ours = self.input_by.iter_mut().chain(self.output_by.iter_mut());
        let theirs = other.input_by.into_iter().chain(other.output_by);
        for (slot, other) in named.into_iter().chain(ours.zip(theirs)) {
            *slot = match (*slot, other) {
                (Some(known), Some(other)) => Some(combined(known, other)),
                (known, other) => other.or(known),
            };
        }
    }

    /// Sets the attributes of what is known.
    pub(super) fn write(self, facts: &mut Facts<'_>) {
        let named = [
            ("gen_ai.usage.input_tokens", self.input),
            ("gen_ai.usage.output_tokens", self.output),
            ("gen_ai.usage.cache_read.input_tokens", self.cached),
            // Renamed in 2026: some readers know the old name only, some the new.
            ("gen_ai.usage.cache_write.input_tokens", self.cache_write),
            ("gen_ai.usage.cache_creation.input_tokens", self.cache_write),
            ("gen_ai.usage.reasoning.output_tokens", self.reasoning),
        ];
        let input_by =
            ["gen_ai.usage.audio.input_tokens", "gen_ai.usage.image.input_tokens", "gen_ai.usage.text.input_tokens"];
        let output_by =
            ["gen_ai.usage.audio.output_tokens", "gen_ai.usage.image.output_tokens", "gen_ai.usage.text.output_tokens"];
        let by_modality = input_by.into_iter().zip(self.input_by).chain(output_by.into_iter().zip(self.output_by));
        for (key, count) in named.into_iter().chain(by_modality) {
            if let Some(count) = count {
                facts.int(key, count);
            }
        }
    }
}

/// Writes what is known of the tokens: from `explicit` (in order, the last value of each count wins), else from what a
/// stream counted, else from the first place that holds counts. The places where a framework repeats them never add up;
/// what one of them breaks down further is taken from there.
pub(super) fn write(explicit: &[&[u8]], found: Found<'_, '_>, facts: &mut Facts<'_>) {
    let mut counts = Counts::default();
    for stated in explicit.iter().filter_map(|usage| Counts::find(View::new(usage))) {
        counts.update(stated);
    }
    if counts == Counts::default() {
        let counted = found.counted.filter(|counted| *counted != Counts::default());
        let mut reports = found.places.iter().filter_map(|usage| Counts::find(*usage)).filter(Counts::is_reported);
        counts = counted.or_else(|| reports.next()).unwrap_or_default();
        reports.for_each(|report| counts.complete(report));
        if counts.input == Some(0) {
            // An answer without a prompt: the framework lost that count.
            counts.input = None;
        }
    }
    counts.write(facts);
}

/// Usage that an output holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found<'f, 'a> {
    /// Put together from the chunks of a stream.
    pub(super) counted: Option<Counts>,
    /// Where a response repeats it, best first.
    pub(super) places: &'f [View<'a>],
}

/// Writes the cost in USD: a mapping with `total`, or the number. A cost that is no number, or negative, is unknown.
pub(super) fn write_cost(cost: View<'_>, facts: &mut Facts<'_>) {
    let total = if cost.is_map() { cost.get("total") } else { Some(cost) };
    if let Some(total) = total.and_then(View::float).filter(|total| *total >= 0.0) {
        facts.float("gen_ai.usage.cost", total);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::semconv::testing::tape;

    /// Input, output, cached, written to the cache, reasoning.
    fn counts(usage: &Value) -> [Option<i64>; 5] {
        let tape = tape(usage);
        let counts = Counts::find(View::new(&tape)).unwrap_or_default();
        [counts.input, counts.output, counts.cached, counts.cache_write, counts.reasoning]
    }

    #[test]
    fn every_provider_s_counts_take_the_conventions_meaning() {
        let table = [
            // Ours.
            (json!({"input": 9, "output": 4, "cached": 3, "cache_write": 2, "reasoning": 1}), [9, 4, 3, 2, 1]),
            // OpenAI, chat: the cache is in the prompt, reasoning in the completion.
            (
                json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 1}}),
                [9, 4, 3, -1, 1],
            ),
            // OpenAI, Responses.
            (
                json!({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
                    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                    "output_tokens_details": {"reasoning_tokens": 1}}),
                [9, 4, 3, 2, 1],
            ),
            // Anthropic: the cache is beside the input.
            (
                json!({"input_tokens": 4, "output_tokens": 4, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}),
                [9, 4, 3, 2, -1],
            ),
            // A gateway that gives OpenAI's sums and Anthropic's names.
            (
                json!({"prompt_tokens": 9, "completion_tokens": 4, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}),
                [9, 4, 3, 2, -1],
            ),
            // Bedrock: beside, unless the total says otherwise.
            (
                json!({"inputTokens": 4, "outputTokens": 4, "totalTokens": 13, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 2}),
                [9, 4, 3, 2, -1],
            ),
            (
                json!({"inputTokens": 9, "outputTokens": 4, "totalTokens": 13, "cacheReadInputTokens": 3}),
                [9, 4, 3, -1, -1],
            ),
            // The same under the names of a model's own format.
            (
                json!({"inputTokenCount": 4, "outputTokenCount": 4, "cacheReadInputTokenCount": 3, "cacheWriteInputTokenCount": 2}),
                [9, 4, 3, 2, -1],
            ),
            (
                json!({"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 13, "cache_read_input_tokens": 3, "cache_write_input_tokens": 2}),
                [9, 4, 3, 2, -1],
            ),
            // Cohere: what is billed rather than what was consumed.
            (
                json!({"billed_units": {"input_tokens": 9.0, "output_tokens": 4.0}, "tokens": {"input_tokens": 70, "output_tokens": 6}, "cached_tokens": 3}),
                [9, 4, 3, -1, -1],
            ),
            (json!({"tokens": {"input_tokens": 9, "output_tokens": 4}}), [9, 4, -1, -1, -1]),
            // Mistral and DeepSeek name the cache at the top.
            (json!({"prompt_tokens": 9, "completion_tokens": 4, "num_cached_tokens": 3}), [9, 4, 3, -1, -1]),
            (
                json!({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 6}),
                [9, 4, 3, -1, -1],
            ),
            // Google: the cache is in the prompt, thoughts are beside the candidates, unless the total says otherwise.
            (
                json!({"prompt_token_count": 9, "candidates_token_count": 3, "thoughts_token_count": 1,
                    "cached_content_token_count": 3, "total_token_count": 13}),
                [9, 4, 3, -1, 1],
            ),
            (
                json!({"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 1, "totalTokenCount": 13}),
                [9, 4, -1, -1, 1],
            ),
            // LangChain: all inside.
            (
                json!({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
                    "input_token_details": {"cache_read": 3, "cache_creation": 2, "audio": 0},
                    "output_token_details": {"reasoning": 1}}),
                [9, 4, 3, 2, 1],
            ),
            // Wrapped once.
            (json!({"token_usage": {"prompt_tokens": 9, "completion_tokens": 4}}), [9, 4, -1, -1, -1]),
            // Ollama.
            (json!({"prompt_eval_count": 9, "eval_count": 4}), [9, 4, -1, -1, -1]),
            // What is no count is unknown; zero is known.
            (
                json!({"input": -1, "output": true, "cached": "3", "cache_write": 1.5, "reasoning": 0}),
                [-1, -1, -1, -1, 0],
            ),
            (json!({"input": 9.0, "output": null}), [9, -1, -1, -1, -1]),
        ];
        for (usage, expected) in table {
            assert_eq!(counts(&usage), expected.map(|count| (count >= 0).then_some(count)), "{usage}");
        }
    }

    #[test]
    fn counts_without_a_number_are_none_at_all() {
        assert_eq!(Counts::find(View::new(&tape(&json!({"input": null, "note": 1})))), None);
        assert_eq!(Counts::find(View::new(&tape(&json!([1, 2])))), None);
    }
}
