//! Parameters of a model call to `gen_ai.request.*` (GenAI semantic conventions, inference spans). What has no name there
//! is kept together in one JSON attribute; what is a secret by its name is never written.

use std::borrow::Cow;

use crate::json::Writer;
use crate::semconv::facts::Facts;
use crate::semconv::view::View;
use crate::tape::{Cut, Token};

/// What parameters say that other parts of a span are made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Request<'a> {
    /// The model asked for.
    pub(super) model: Option<View<'a>>,
    /// Who serves it, in a framework's words.
    pub(super) provider: Option<View<'a>>,
    /// The messages, where the parameters are all arguments of the provider's function.
    pub(super) messages: Option<View<'a>>,
    /// The prompt of a completion model.
    pub(super) prompt: Option<View<'a>>,
    /// Instructions given apart from the messages.
    pub(super) system: Option<View<'a>>,
    /// Tool definitions.
    pub(super) tools: Option<View<'a>>,
    /// A framework says that the model completes text rather than chats.
    pub(super) completes: bool,
}

/// Whether a parameter's name says that its value is a secret. Counts of tokens are none.
pub(super) fn is_secret(name: &str) -> bool {
    const WITHIN: [&str; 11] = [
        "apikey",
        "authorization",
        "password",
        "passwd",
        "secret",
        "credential",
        "privatekey",
        "accesskey",
        "bearer",
        "cookie",
        "signature",
    ];
    let squashed: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    WITHIN.iter().any(|part| squashed.contains(part))
        || squashed.ends_with("token")
        || matches!(squashed.as_str(), "auth" | "xapikey" | "key")
}

impl<'a> Request<'a> {
    /// Sets the attributes of `params` and returns what they say besides. Parameters that are `None` were not sent.
    pub(super) fn write(params: Option<View<'a>>, facts: &mut Facts<'_>) -> Self {
        let mut request = Self::default();
        let Some(params) = params.filter(|params| !params.is_empty()) else { return request };
        if !params.is_map() {
            facts.json("ironspan.request.params", params, |out| {
                write_clean(params, 0, out);
                true
            });
            return request;
        }
        let mut rest = Vec::new();
        for (name, value) in params.pairs() {
            let key = name.to_str();
            if value.token() != Some(Token::Null) && !is_secret(&key) && !request.take(&key, value, facts) {
                rest.push((name, value));
            }
        }
        if !rest.is_empty() {
            facts.json("ironspan.request.params", params, |out| {
                out.raw("{");
                for (at, (name, value)) in rest.iter().enumerate() {
                    if at > 0 {
                        out.raw(",");
                    }
                    out.key(&name.to_str());
                    write_clean(*value, 0, out);
                }
                out.raw("}");
                true
            });
        }
        request
    }

    /// Sets what one parameter means and says whether it means anything here.
    fn take(&mut self, name: &str, value: View<'a>, facts: &mut Facts<'_>) -> bool {
        match name {
            "temperature" | "ls_temperature" => set_float(facts, "gen_ai.request.temperature", value),
            "top_p" | "topP" => set_float(facts, "gen_ai.request.top_p", value),
            "frequency_penalty" | "frequencyPenalty" => set_float(facts, "gen_ai.request.frequency_penalty", value),
            "presence_penalty" | "presencePenalty" => set_float(facts, "gen_ai.request.presence_penalty", value),
            "top_k" | "topK" => set_int(facts, "gen_ai.request.top_k", value),
            "max_tokens"
            | "max_completion_tokens"
            | "max_output_tokens"
            | "maxOutputTokens"
            | "maxTokens"
            | "max_tokens_to_sample"
            | "max_new_tokens"
            | "num_predict"
            | "ls_max_tokens" => set_int(facts, "gen_ai.request.max_tokens", value),
            "seed" => set_int(facts, "gen_ai.request.seed", value),
            "stop" | "stop_sequences" | "stopSequences" | "ls_stop" => {
                set_words(facts, "gen_ai.request.stop_sequences", value)
            }
            "n" | "candidate_count" | "candidateCount" => match value.count() {
                Some(1) => true,
                Some(_) => set_int(facts, "gen_ai.request.choice.count", value),
                None => false,
            },
            "stream" | "streaming" => match value.token() {
                Some(Token::Bool(streams)) => {
                    if streams {
                        facts.bool("gen_ai.request.stream", true);
                    }
                    true
                }
                _ => false,
            },
            "reasoning_effort" => set_text(facts, "gen_ai.request.reasoning.level", value),
            "reasoning" | "output_config" => {
                // Beside the effort they may say more, which stays among the rest.
                if let Some(effort) = value.get("effort") {
                    set_text(facts, "gen_ai.request.reasoning.level", effort);
                }
                value.pairs().all(|(key, value)| &*key.to_str() == "effort" || value.token() == Some(Token::Null))
                    && value.is_map()
            }
            "response_format" | "response_mime_type" | "responseMimeType" => {
                if let Some(kind) = output_type(value) {
                    facts.str("gen_ai.output.type", kind);
                }
                // A schema is worth keeping; a word is not.
                value.is_map() && value.pairs().count() <= 1 || value.text().is_some()
            }
            "text" => {
                if let Some(kind) = value.get("format").and_then(output_type) {
                    facts.str("gen_ai.output.type", kind);
                }
                false
            }
            "base_url" | "api_base" | "openai_api_base" | "azure_endpoint" | "endpoint_url" => set_server(facts, value),
            "previous_response_id" => set_text(facts, "gen_ai.request.previous_response.id", value),
            "encoding_format" => set_words(facts, "gen_ai.request.encoding_formats", value),
            "dimensions" => set_int(facts, "gen_ai.embeddings.dimension.count", value),
            "model" | "model_name" | "model_id" | "modelId" | "ls_model_name" | "deployment_name"
            | "azure_deployment" | "engine" => {
                let known = self.model.and_then(View::str);
                match value.str() {
                    Some(model) if known.is_none() || known.as_deref() == Some(&*model) => {
                        self.model = Some(value);
                        true
                    }
                    _ => false,
                }
            }
            "ls_provider" => set_some(&mut self.provider, value),
            "_type" | "provider" if self.provider.is_none() => set_some(&mut self.provider, value),
            "_type" => true,
            "ls_model_type" => {
                self.completes = value.str().as_deref() == Some("llm");
                true
            }
            "messages" | "contents" => set_some(&mut self.messages, value),
            "prompt" => set_some(&mut self.prompt, value),
            "system" | "instructions" | "system_instruction" | "systemInstruction" => set_some(&mut self.system, value),
            "tools" | "functions" => set_some(&mut self.tools, value),
            // Bedrock's; Google has another thing of that name.
            "toolConfig" if value.get("tools").is_some() => set_some(&mut self.tools, value),
            // Google's and Bedrock's parameters lie one level deeper. What is unknown there stays in place.
            "generation_config" | "generationConfig" | "inferenceConfig" => {
                let mut known = value.is_map();
                for (name, value) in value.pairs() {
                    known &= value.token() == Some(Token::Null) || self.take_inner(&name.to_str(), value, facts);
                }
                known
            }
            _ => false,
        }
    }

    /// One parameter of a nested configuration, which does not nest again.
    fn take_inner(&mut self, name: &str, value: View<'a>, facts: &mut Facts<'_>) -> bool {
        !matches!(name, "generation_config" | "generationConfig" | "inferenceConfig") && self.take(name, value, facts)
    }
}

fn set_some<'a>(slot: &mut Option<View<'a>>, value: View<'a>) -> bool {
    *slot = Some(value);
    true
}

fn set_float(facts: &mut Facts<'_>, key: &str, value: View<'_>) -> bool {
    value.float().is_some_and(|value| {
        facts.float(key, value);
        true
    })
}

fn set_int(facts: &mut Facts<'_>, key: &str, value: View<'_>) -> bool {
    value.int().is_some_and(|value| {
        facts.int(key, value);
        true
    })
}

fn set_text(facts: &mut Facts<'_>, key: &str, value: View<'_>) -> bool {
    value.word().is_some_and(|value| {
        facts.str(key, &value);
        true
    })
}

/// Where the model is served, from an address. The address itself is not written: it may hold a password.
fn set_server(facts: &mut Facts<'_>, address: View<'_>) -> bool {
    let Some(address) = address.str() else { return false };
    let rest = address.split_once("://").map_or(&*address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => (host, port.parse::<u16>().ok()),
        _ => (authority, None),
    };
    if !host.is_empty() {
        facts.str("server.address", host);
        if let Some(port) = port {
            facts.int("server.port", i64::from(port));
        }
    }
    true
}

/// Most texts of a list: providers take four stop sequences.
const MAX_WORDS: usize = 64;

fn set_words(facts: &mut Facts<'_>, key: &str, value: View<'_>) -> bool {
    let words: Vec<Cow<'_, str>> = match value.str() {
        Some(word) => vec![word],
        None => value.items().take(MAX_WORDS).filter_map(View::str).collect(),
    };
    facts.words(key, &words);
    !words.is_empty() || value.is_list() && value.is_empty()
}

/// The kind of output asked for (GenAI semantic conventions, `gen_ai.output.type`).
fn output_type(format: View<'_>) -> Option<&'static str> {
    let kind = match format.token()? {
        Token::Text(text) => text.to_str(),
        // A class given as the format: structured output.
        Token::Opaque(_) => return Some("json"),
        Token::Object(_) if format.get("type").is_none() => return Some("json"),
        _ => format.get("type")?.word()?,
    };
    match &*kind {
        "text" | "text/plain" => Some("text"),
        "json_object" | "json_schema" | "json" | "application/json" => Some("json"),
        "image" => Some("image"),
        "audio" | "speech" => Some("speech"),
        _ => None,
    }
}

/// Deepest nesting that is searched for secrets; what lies deeper is not written.
const MAX_CLEAN_DEPTH: u32 = 32;

/// Appends a value without the entries that are secrets by their names.
fn write_clean(value: View<'_>, depth: u32, out: &mut Writer<'_>) {
    if depth == MAX_CLEAN_DEPTH && (value.is_list() || value.is_map()) {
        return out.cut_mark(Cut::Depth);
    }
    if value.is_list() {
        out.raw("[");
        for (at, item) in value.items().enumerate() {
            if at > 0 {
                out.raw(",");
            }
            write_clean(item, depth + 1, out);
        }
        out.raw("]");
    } else if value.is_map() {
        out.raw("{");
        let mut first = true;
        for (name, value) in value.pairs() {
            let name = name.to_str();
            if is_secret(&name) {
                continue;
            }
            if !first {
                out.raw(",");
            }
            first = false;
            out.key(&name);
            write_clean(value, depth + 1, out);
        }
        out.raw("}");
    } else {
        out.value(value.bytes());
    }
}
