//! Documents that a search found, in the shapes of frameworks, to the conventions' (GenAI semantic conventions,
//! `gen_ai.retrieval.documents`: `id` and `score`; `content` and `metadata` are additions that readers show).

use crate::json::Writer;
use crate::semconv::view::View;
use crate::tape::Token;

/// Appends the documents in `value` as a JSON array and says whether it holds any; if not, nothing is appended.
/// `said` is whether the caller says that they are documents: then any item is one, else each has to look like one.
pub(super) fn write(value: View<'_>, said: bool, out: &mut Writer<'_>) -> bool {
    let list = if value.is_map() && !is_document(value) {
        let [documents, docs, nodes, sources, results, matches] =
            value.pick(["documents", "docs", "nodes", "source_nodes", "results", "matches"]);
        documents.or(docs).or(nodes).or(sources).or(results).or(matches).filter(|list| list.is_list())
    } else {
        None
    };
    let list = list.unwrap_or(value);
    if list.is_list() {
        if !said && (list.is_empty() || !list.items().all(is_document_or_pair)) {
            return false;
        }
        out.raw("[");
        for (at, item) in list.items().enumerate() {
            if at > 0 {
                out.raw(",");
            }
            document(item, out);
        }
        out.raw("]");
        return true;
    }
    if !said && !is_document(list) || list.is_empty() {
        return false;
    }
    out.raw("[");
    document(list, out);
    out.raw("]");
    true
}

/// A scored document as LangChain's stores return it: `(document, score)`.
fn scored(pair: View<'_>) -> Option<(View<'_>, View<'_>)> {
    let mut items = pair.items();
    let (Some(document), Some(score), None) = (items.next(), items.next(), items.next()) else { return None };
    (score.float().is_some() && (document.is_map() || document.text().is_some())).then_some((document, score))
}

fn is_document_or_pair(value: View<'_>) -> bool {
    is_document(value) || scored(value).is_some_and(|(document, _)| is_document(document))
}

/// Whether a value has the form of a document of a framework.
fn is_document(value: View<'_>) -> bool {
    let [page_content, node, text, content, metadata, score, id, node_id, resource] =
        value.pick(["page_content", "node", "text", "content", "metadata", "score", "id", "id_", "text_resource"]);
    page_content.or(resource).is_some()
        || node.is_some_and(View::is_map)
        || text.or(content).is_some() && metadata.or(score).or(id).or(node_id).is_some()
}

fn document(item: View<'_>, out: &mut Writer<'_>) {
    if let Some((document, score)) = scored(item) {
        return fields(document, Some(score), out);
    }
    match item.get("node").filter(|node| node.is_map()) {
        // LlamaIndex: a node and how well it fits.
        Some(node) => fields(node, item.get("score"), out),
        None => fields(item, None, out),
    }
}

fn fields(document: View<'_>, score: Option<View<'_>>, out: &mut Writer<'_>) {
    let [id, id_, doc_id, document_id, node_id, mongo_id] =
        document.pick(["id", "id_", "doc_id", "document_id", "node_id", "_id"]);
    let [inner_score, similarity, relevance] = document.pick(["score", "similarity", "relevance_score"]);
    let [page_content, text, content, inner, body, resource] =
        document.pick(["page_content", "text", "content", "document", "body", "text_resource"]);
    let [metadata, extra_info, payload] = document.pick(["metadata", "extra_info", "payload"]);
    let metadata = metadata.or(extra_info);
    // Retrievers and rerankers without a place for them put score and id among the metadata. Distances are no scores:
    // they run the other way.
    let within = |names: [&str; 6]| metadata.and_then(|metadata| metadata.pick(names).into_iter().flatten().next());
    let meta_score = within(["relevance_score", "rerank_score", "score", "_score", "similarity_score", "similarity"]);
    let meta_id = within(["id", "_id", "doc_id", "document_id", "node_id", "uuid"]);
    let resource = resource.and_then(|resource| resource.get("text"));
    let content = page_content.or(text).or(resource).or(content).or(body).or(inner);
    out.raw("{");
    let mut first = true;
    let mut field = |key: &str, out: &mut Writer<'_>| {
        if !first {
            out.raw(",");
        }
        first = false;
        out.key(key);
    };
    if let Some(id) =
        id.or(id_).or(doc_id).or(document_id).or(node_id).or(mongo_id).or(meta_id).filter(|id| !id.is_empty())
    {
        field("id", out);
        // Strings by the schema, whatever a store has.
        match id.token() {
            Some(Token::Text(text)) => out.text(text),
            _ => out.str(&crate::resolve::text_of(id.bytes())),
        }
    }
    if let Some(score) =
        score.or(inner_score).or(similarity).or(relevance).or(meta_score).filter(|score| score.float().is_some())
    {
        field("score", out);
        out.value(score.bytes());
    }
    field("content", out);
    match content {
        Some(content) => out.value(content.bytes()),
        None if payload.is_some() || !document.is_map() => out.value(payload.unwrap_or(document).bytes()),
        None => out.value(document.bytes()),
    }
    let metadata = metadata.or(payload.filter(|_| content.is_some()));
    if let Some(metadata) = metadata.filter(|metadata| !metadata.is_empty()) {
        field("metadata", out);
        out.value(metadata.bytes());
    }
    out.raw("}");
}
