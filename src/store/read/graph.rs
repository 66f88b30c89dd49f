//! Who calls whom: agents and tools as nodes, calls and handoffs as edges; of one trace, or summed over a window.
//!
//! A span's column `agent` names the agent it worked for, so the caller of a tool is in its own row, and the caller of an
//! agent in its parent's. An agent that took over from another by a handoff (a link with that role) is called by that one.

use std::collections::{BTreeMap, HashMap};

use super::filter_sql::Scope;
use super::json::{Json, object};
use super::page::ListQuery;
use super::sql::Sql;
use super::trace::{Skeleton, SpanEntry, Trace};
use super::words::{MODEL_CALLS, Status};
use super::{ReadError, Reader, Trouble};
use crate::kind::Kind;

/// Spans that an edge names, at most.
const SPANS: usize = 100;
/// The node that nobody calls.
const USER: &str = "user";
/// The role of a link from a turn to the turn it took over from.
const HANDOFF: &str = "handoff";

/// An agent, a tool or the user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// `agent:name`, `tool:name` or `user`.
    pub id: String,
    /// `agent`, `tool` or `user`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Turns or calls.
    pub calls: i64,
    /// Those that failed.
    pub errors: i64,
    /// Nanoseconds in all.
    pub duration: i64,
    /// Tokens of model calls made for it.
    pub tokens: Option<i64>,
    /// USD for them.
    pub cost: Option<f64>,
    /// Which models, how often.
    pub models: Vec<(String, i64)>,
}

impl Json for Node {
    fn write(&self, out: &mut String) {
        object!(out, "id": self.id, "kind": self.kind, "name": self.name, "calls": self.calls, "errors": self.errors,
            "duration": self.duration, "tokens": self.tokens, "cost": self.cost, "models": self.models);
    }
}

/// Calls from one node to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The caller.
    pub from: String,
    /// The called.
    pub to: String,
    /// How often.
    pub calls: i64,
    /// Calls that failed.
    pub errors: i64,
    /// Nanoseconds in all.
    pub duration: i64,
    /// The called spans, a hundred at most; none over a window.
    pub spans: Vec<String>,
    /// It is a handoff rather than a call.
    pub handoff: bool,
}

impl Json for Edge {
    fn write(&self, out: &mut String) {
        object!(out, "from": self.from, "to": self.to, "calls": self.calls, "errors": self.errors,
            "duration": self.duration, "spans": self.spans, "handoff": self.handoff);
    }
}

/// Nodes and edges, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges.
    pub edges: Vec<Edge>,
}

impl Json for Graph {
    fn write(&self, out: &mut String) {
        object!(out, "nodes": self.nodes, "edges": self.edges);
    }
}

/// A call, of one span or of many alike.
struct Call<'c> {
    from: &'c str,
    to: &'c str,
    to_tool: bool,
    handoff: bool,
    calls: i64,
    errors: i64,
    duration: i64,
    span: Option<&'c str>,
}

#[derive(Default)]
struct Building {
    nodes: BTreeMap<String, (Node, BTreeMap<String, i64>)>,
    edges: BTreeMap<(String, String, bool), Edge>,
}

fn agent_id(name: &str) -> String {
    if name.is_empty() { USER.to_owned() } else { format!("agent:{name}") }
}

impl Building {
    fn node(&mut self, id: &str) -> &mut (Node, BTreeMap<String, i64>) {
        self.nodes.entry(id.to_owned()).or_insert_with(|| {
            let (kind, name) = match id.split_once(':') {
                Some(("agent", name)) => ("agent", name),
                Some(("tool", name)) => ("tool", name),
                _ => (USER, USER),
            };
            (Node { id: id.to_owned(), kind, name: name.to_owned(), ..Node::default() }, BTreeMap::new())
        })
    }

    fn call(&mut self, call: &Call<'_>) {
        let from = agent_id(call.from);
        let to = if call.to_tool { format!("tool:{}", call.to) } else { agent_id(call.to) };
        self.node(&from);
        let (node, _) = self.node(&to);
        node.calls += call.calls;
        node.errors += call.errors;
        node.duration = node.duration.saturating_add(call.duration);
        let edge = self.edges.entry((from.clone(), to.clone(), call.handoff)).or_insert_with(|| Edge {
            from,
            to,
            handoff: call.handoff,
            ..Edge::default()
        });
        edge.calls += call.calls;
        edge.errors += call.errors;
        edge.duration = edge.duration.saturating_add(call.duration);
        if let Some(span) = call.span.filter(|_| edge.spans.len() < SPANS) {
            edge.spans.push(span.to_owned());
        }
    }

    fn model(&mut self, agent: &str, model: &str, calls: i64, tokens: Option<i64>, cost: Option<f64>) {
        let (node, models) = self.node(&agent_id(agent));
        if let Some(tokens) = tokens {
            node.tokens = Some(node.tokens.unwrap_or(0).saturating_add(tokens));
        }
        if let Some(cost) = cost {
            node.cost = Some(node.cost.unwrap_or(0.0) + cost);
        }
        if !model.is_empty() {
            *models.entry(model.to_owned()).or_default() += calls;
        }
    }

    fn finish(self) -> Graph {
        let nodes = self.nodes.into_values().map(|(mut node, models)| {
            node.models = models.into_iter().collect();
            node.models.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
            node
        });
        Graph { nodes: nodes.collect(), edges: self.edges.into_values().collect() }
    }
}

/// The graph of one trace.
#[must_use]
pub fn of_trace(trace: &Trace) -> Graph {
    let spans = &trace.spans;
    let places: HashMap<&str, &SpanEntry> = spans.spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let before: HashMap<usize, &SpanEntry> = trace
        .links
        .iter()
        .filter(|link| link.role == HANDOFF && link.to_trace == trace.row.id)
        .filter_map(|link| Some((link.span, *places.get(link.to_span.as_str())?)))
        .collect();
    let mut building = Building::default();
    for (index, span) in spans.spans.iter().enumerate() {
        let own = spans.text(span.agent);
        let (from, to, handoff) = match span.kind {
            Kind::Agent => {
                let parent = usize::try_from(span.parent).ok().and_then(|parent| spans.spans.get(parent));
                let caller = before.get(&index).copied().or(parent);
                (
                    caller.map_or("", |caller| spans.text(caller.agent)),
                    agent_name(spans, span),
                    before.contains_key(&index),
                )
            }
            Kind::Tool => (own, spans.text(span.name), false),
            Kind::Generation | Kind::Embedding | Kind::Rerank => {
                let tokens = span
                    .input_tokens
                    .or(span.output_tokens)
                    .map(|_| span.input_tokens.unwrap_or(0).saturating_add(span.output_tokens.unwrap_or(0)));
                building.model(own, spans.text(span.model), 1, tokens, span.cost);
                continue;
            }
            _ => continue,
        };
        building.call(&Call {
            from,
            to,
            to_tool: span.kind == Kind::Tool,
            handoff,
            calls: 1,
            errors: i64::from(span.status == Status::Error),
            duration: span.duration,
            span: Some(&span.id),
        });
    }
    building.finish()
}

/// An agent's own column has its name; where it is empty, the span's name stands in.
fn agent_name<'s>(spans: &'s Skeleton, span: &SpanEntry) -> &'s str {
    let name = spans.text(span.agent);
    if name.is_empty() { spans.text(span.name) } else { name }
}

impl Reader {
    /// The graph of the trace whose id begins with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Reader::trace`].
    pub fn trace_graph(&self, prefix: &str) -> Result<Graph, ReadError> {
        Ok(of_trace(&self.trace(prefix)?))
    }

    /// The graph of a window: calls by who stands above whom. Handoffs are seen in single traces only.
    ///
    /// # Errors
    ///
    /// It takes too long, or the store.
    pub fn graph(&self, query: &ListQuery) -> Result<Graph, ReadError> {
        self.ask(|connection| {
            let mut building = Building::default();
            let statement = |select: &str, which: &str, group: &str| -> Result<Sql, Trouble> {
                let mut sql = Sql::new(self, connection, select)?;
                sql.push(if query.filter.is_empty() { "" } else { " JOIN trace t ON t.id = s.trace" });
                sql.push(" WHERE ?1 IS NOT NULL").push(which).window("s.start_ns", query.window);
                query.filter.write(Scope::Span, &mut sql);
                sql.push(" GROUP BY ").push(group);
                Ok(sql)
            };
            let calls = [
                (
                    false,
                    statement(
                        "SELECT coalesce(p.agent, ''), CASE WHEN s.agent = '' THEN s.name ELSE s.agent END, count(*), \
                         sum(s.status = 1), sum(s.duration_ns) FROM span s \
                         LEFT JOIN span p ON p.trace = s.trace AND p.span_id = s.parent_id",
                        " AND s.kind = 2",
                        "1, 2",
                    )?,
                ),
                (
                    true,
                    statement(
                        "SELECT s.agent, s.name, count(*), sum(s.status = 1), sum(s.duration_ns) FROM span s",
                        " AND s.kind = 7",
                        "1, 2",
                    )?,
                ),
            ];
            for (to_tool, sql) in calls {
                sql.each(connection, |row| {
                    building.call(&Call {
                        from: row.get_ref(0)?.as_str().unwrap_or_default(),
                        to: row.get_ref(1)?.as_str().unwrap_or_default(),
                        to_tool,
                        handoff: false,
                        calls: row.get(2)?,
                        errors: row.get(3)?,
                        duration: row.get(4)?,
                        span: None,
                    });
                    Ok(())
                })?;
            }
            let models = statement(
                "SELECT s.agent, s.model, count(*), sum(coalesce(s.input_tokens, 0) + coalesce(s.output_tokens, 0)), \
                 sum(s.cost), count(s.input_tokens) + count(s.output_tokens) FROM span s",
                &format!(" AND s.kind IN {MODEL_CALLS}"),
                "1, 2",
            )?;
            models.each(connection, |row| {
                let tokens: i64 = row.get(3)?;
                let known = row.get::<_, i64>(5)? > 0;
                let agent = row.get_ref(0)?.as_str().unwrap_or_default();
                let model = row.get_ref(1)?.as_str().unwrap_or_default();
                building.model(agent, model, row.get(2)?, known.then_some(tokens), row.get(4)?);
                Ok(())
            })?;
            Ok(building.finish())
        })
    }
}
