//! Definitions of tools offered to a model, in the shapes of providers and frameworks, to the conventions' (GenAI
//! semantic conventions, `gen_ai.tool.definitions`).

use std::borrow::Cow;

use crate::json::Writer;
use crate::semconv::view::View;
use crate::tape::Token;

/// Whether definitions carry their descriptions and parameter schemas. The conventions say that they should not by
/// default: the same kilobytes would come with every call of an agent's loop.
pub(super) const WITH_SCHEMAS: bool = false;

/// Appends the definitions in `tools` as a JSON array and says whether there are any; if not, nothing is appended.
pub(super) fn write(tools: View<'_>, with_schemas: bool, out: &mut Writer<'_>) -> bool {
    let start = out.position();
    out.raw("[");
    let mut written = 0_usize;
    if tools.is_list() {
        for tool in tools.items() {
            tool_or_group(tool, with_schemas, &mut written, out);
        }
    } else {
        tool_or_group(tools, with_schemas, &mut written, out);
    }
    if written == 0 {
        out.rewind(start);
        return false;
    }
    out.raw("]");
    true
}

/// Google's tools hold several functions each.
fn tool_or_group(tool: View<'_>, with_schemas: bool, written: &mut usize, out: &mut Writer<'_>) {
    let [declarations, camel, tools] = tool.pick(["function_declarations", "functionDeclarations", "tools"]);
    match declarations.or(camel).or(tools).filter(|group| group.is_list()) {
        Some(group) => group.items().for_each(|tool| definition(tool, with_schemas, written, out)),
        None => definition(tool, with_schemas, written, out),
    }
}

fn definition(tool: View<'_>, with_schemas: bool, written: &mut usize, out: &mut Writer<'_>) {
    let tool_kind = tool.get("type").and_then(View::word);
    // OpenAI and Bedrock wrap; LlamaIndex keeps the facts in the tool's metadata.
    let [function, spec, metadata, private, custom] =
        tool.pick(["function", "toolSpec", "metadata", "_metadata", "custom"]);
    let wrapped = [function, spec, custom].into_iter().flatten().find(|inner| inner.is_map());
    let meta = [metadata, private].into_iter().flatten().find(|inner| inner.get("name").is_some());
    let inner = wrapped.or(meta).unwrap_or(tool);
    let [name, dunder_name, description] = inner.pick(["name", "__name__", "description"]);
    let name = name.or(dunder_name).and_then(View::str);
    let name = match (name, tool.token()) {
        (Some(name), _) => name,
        (None, Some(Token::Text(text))) => text.to_str(),
        // A hosted tool is named by its type; of a bare function or class the walker knows the type alone.
        (None, _) => match tool_kind.clone().or_else(|| hosted(tool)).or_else(|| tool.class()) {
            Some(name) => name,
            None => return,
        },
    };
    if *written > 0 {
        out.raw(",");
    }
    *written += 1;
    out.raw("{\"type\":");
    // A tool of LangChain's is an object, whose `type` is no type of definition.
    let kind = tool_kind.or_else(|| hosted(tool)).filter(|_| tool.class().is_none());
    out.word(kind.as_deref().unwrap_or("function"));
    out.raw(",\"name\":");
    out.str(&name);
    if with_schemas {
        if let Some(text) = description.and_then(View::text) {
            out.raw(",\"description\":");
            out.text(text);
        }
        let schemas = inner.pick(["parameters", "input_schema", "inputSchema", "args", "fn_schema", "args_schema"]);
        if let Some(schema) = schemas.into_iter().flatten().find(|schema| schema.is_map()) {
            out.raw(",\"parameters\":");
            out.value(schema.get("json").unwrap_or(schema).bytes());
        }
    }
    out.raw("}");
}

/// A tool that the provider runs itself, where its one key says which (Google).
fn hosted(tool: View<'_>) -> Option<Cow<'_, str>> {
    let mut pairs = tool.pairs();
    let (Some((key, settings)), None) = (pairs.next(), pairs.next()) else { return None };
    let name = key.to_str();
    (settings.is_map() && !matches!(&*name, "cachePoint" | "function" | "toolSpec" | "custom")).then_some(name)
}
