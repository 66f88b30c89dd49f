//! What the tags and the metadata of a LangChain run say: the agent it belongs to, the conversation and the user, a
//! node's place in its graph, and which pairs and tags are the program's own.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};

use crate::python::convert::{self, Written};
use crate::python::span::lenient_text;
use crate::tape::Tape;

/// Runs that LangChain and LangGraph mark as not worth showing.
const HIDDEN_TAG: &str = "langsmith:hidden";
/// Tags by which the frameworks number their steps.
const STEP_TAGS: [&str; 5] = ["seq:step:", "graph:step:", "map:key:", "retry:attempt:", "langsmith:"];
const ATTEMPT_TAG: &str = "retry:attempt:";
const NODE_TAG: &str = "graph:step:";

/// Metadata that the frameworks add for tracers and checkpoints.
const INTERNAL: [&str; 6] = ["ls_", "lc_", "langgraph_", "langsmith_", "checkpoint_", "__"];
const INTERNAL_NAMES: [&str; 7] =
    ["thread_id", "session_id", "conversation_id", "user_id", "run_id", "run_attempt", "revision_id"];
/// Where a LangGraph node's place in the graph goes.
const NODE_ATTRIBUTES: [(&str, &str); 3] = [
    ("langgraph_node", "langgraph.node"),
    ("langgraph_step", "langgraph.step"),
    ("langgraph_triggers", "langgraph.triggers"),
];
/// What LangChain says of a retriever.
const RETRIEVER_ATTRIBUTES: [(&str, &str); 3] = [
    ("ls_vector_store_provider", "langchain.vector_store_provider"),
    ("ls_embedding_provider", "langchain.embedding_provider"),
    ("ls_embedding_model", "langchain.embedding_model"),
];
/// Where a conversation has its name, the best first.
const CONVERSATION: [&str; 3] = ["session_id", "thread_id", "conversation_id"];
/// Metadata that names the agent of a run and of all runs below it: `create_agent` writes the first, users the others.
const AGENT_NAMES: [&str; 3] = ["lc_agent_name", "agent_name", "agent.name"];
/// Metadata that tells an agent from other runs without naming it.
const AGENT_MARKS: [&str; 2] = ["ls_agent_type", "agent.role"];
/// Agents that carry their class's name and no metadata.
const AGENT_CLASSES: [&str; 1] = ["AgentExecutor"];
/// What `create_agent` says of its graphs, named or not.
const INTEGRATION: &str = "ls_integration";
const CREATE_AGENT: &str = "langchain_create_agent";

/// Tags and metadata of one run, beside the metadata of the run above.
pub(super) struct Facts<'py> {
    tags: Vec<String>,
    metadata: Option<Bound<'py, PyDict>>,
    above: Option<Bound<'py, PyDict>>,
}

impl<'py> Facts<'py> {
    pub(super) fn of(
        tags: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
        above: Option<Bound<'py, PyDict>>,
    ) -> Self {
        let metadata = metadata.cast::<PyDict>().ok().cloned();
        Self { tags: texts(tags), metadata, above }
    }

    pub(super) fn metadata(&self) -> Option<Bound<'py, PyDict>> {
        self.metadata.clone()
    }

    /// Whether the framework asks tracers not to show the run.
    pub(super) fn is_hidden(&self) -> bool {
        self.tags.iter().any(|tag| tag == HIDDEN_TAG)
    }

    /// Whether the run is a node of a LangGraph graph.
    fn is_node(&self) -> bool {
        self.tags.iter().any(|tag| tag.starts_with(NODE_TAG))
    }

    /// The agent in whose turn the run takes place, and whether the run is that turn itself.
    ///
    /// Metadata is inherited by every run below, so it says "this is an agent" only where it differs from that of the
    /// run above; an agent that calls itself is told by its name. A node is never the agent: it may share the name of
    /// the agent that it runs.
    pub(super) fn agent(
        &self,
        name: &Bound<'py, PyAny>,
        inherited: Option<Bound<'py, PyString>>,
    ) -> (Option<Bound<'py, PyString>>, bool) {
        if self.is_node() {
            return (inherited, false);
        }
        for key in AGENT_NAMES {
            if let Some(label) = self.text(key) {
                let differs = !is_same_text(&label, item(self.above.as_ref(), key).as_ref());
                return (Some(label.clone()), differs || is_same_text(&label, Some(name)));
            }
        }
        let marked = AGENT_MARKS.iter().any(|key| {
            self.item(key).is_some_and(|value| {
                value.is_truthy().unwrap_or(false)
                    && !item(self.above.as_ref(), key).is_some_and(|above| value.eq(above).unwrap_or(false))
            })
        });
        let is_created = |metadata: Option<&Bound<'py, PyDict>>| {
            item(metadata, INTEGRATION).is_some_and(|value| text_is(&value, CREATE_AGENT))
        };
        let created = is_created(self.metadata.as_ref()) && !is_created(self.above.as_ref());
        if marked || created || AGENT_CLASSES.iter().any(|class| text_is(name, class)) {
            return (name.cast::<PyString>().ok().cloned(), true);
        }
        (inherited, false)
    }

    /// The agent's role, if the metadata has one.
    pub(super) fn role(&self) -> Option<Bound<'py, PyString>> {
        self.text("agent.role")
    }

    /// The conversation that the run belongs to, when the program names one.
    fn conversation(&self) -> Option<Bound<'py, PyAny>> {
        CONVERSATION.iter().find_map(|key| self.item(key).filter(|value| !value.is_none() && !text_is(value, "")))
    }

    /// The attributes of the run as a mapping, if there are any.
    pub(super) fn attributes(
        &self,
        verb: &str,
        agent: Option<&Bound<'py, PyString>>,
        orphan: bool,
    ) -> Option<(Tape, Written)> {
        let mut pairs = Tape::default();
        let tape = &mut pairs;
        tape.map();
        let empty = tape.len();
        let mut written = self.write_own_pairs(tape);
        if self.is_node() {
            written = written.and(self.write_renamed(&NODE_ATTRIBUTES, tape));
        }
        if verb == "retrieval" {
            written = written.and(self.write_renamed(&RETRIEVER_ATTRIBUTES, tape));
        }
        let attempt = self.tags.iter().filter_map(|tag| tag.strip_prefix(ATTEMPT_TAG)?.parse().ok()).next_back();
        if let Some(attempt) = attempt {
            tape.str("ironspan.attempt");
            tape.int(attempt);
        }
        if let Some(conversation) = self.conversation() {
            let text = lenient_text(&conversation);
            for key in ["session.id", "gen_ai.conversation.id"] {
                tape.str(key);
                tape.str(&text);
            }
        }
        if let Some(user) = self.item("user_id").filter(|user| !user.is_none()) {
            tape.str("user.id");
            tape.str(&lenient_text(&user));
        }
        if let Some(agent) = agent.filter(|_| verb == "tool") {
            tape.str("gen_ai.agent.name");
            tape.text(convert::text(agent));
        }
        if orphan {
            tape.str("ironspan.orphan");
            tape.bool(true);
        }
        let any = tape.len() > empty;
        tape.end();
        any.then_some((pairs, written))
    }

    /// Writes the program's own pairs, where they first appear: they are inherited by every run below.
    fn write_own_pairs(&self, tape: &mut Tape) -> Written {
        let mut written = Written::Whole;
        for (key, value) in self.metadata.iter().flatten() {
            if item(self.above.as_ref(), &key).is_some_and(|above| above.is(&value)) {
                continue;
            }
            let Ok(text) = key.cast::<PyString>() else {
                tape.str(&lenient_text(&key));
                written = written.and(write_value(&value, tape));
                continue;
            };
            let name = text.to_string_lossy();
            if INTERNAL.iter().any(|start| name.starts_with(start)) || INTERNAL_NAMES.contains(&&*name) {
                continue;
            }
            tape.text(convert::text(text));
            written = written.and(write_value(&value, tape));
        }
        written
    }

    fn write_renamed(&self, names: &[(&str, &str)], tape: &mut Tape) -> Written {
        let mut written = Written::Whole;
        for (key, attribute) in names {
            if let Some(value) = self.item(key) {
                tape.str(attribute);
                written = written.and(write_value(&value, tape));
            }
        }
        written
    }

    /// The program's tags as a list, without the frameworks' step marks, if there are any.
    pub(super) fn tags(&self) -> Option<Tape> {
        let mut tape = Tape::default();
        tape.list();
        let mut any = false;
        for tag in &self.tags {
            if !STEP_TAGS.iter().any(|start| tag.starts_with(start)) {
                tape.str(tag);
                any = true;
            }
        }
        tape.end();
        any.then_some(tape)
    }

    fn item(&self, key: &str) -> Option<Bound<'py, PyAny>> {
        item(self.metadata.as_ref(), key)
    }

    fn text(&self, key: &str) -> Option<Bound<'py, PyString>> {
        self.item(key)?.cast_into::<PyString>().ok().filter(|text| !text_is(text, ""))
    }
}

fn item<'py>(metadata: Option<&Bound<'py, PyDict>>, key: impl IntoPyObject<'py>) -> Option<Bound<'py, PyAny>> {
    metadata?.get_item(key).ok().flatten()
}

fn text_is(value: &Bound<'_, PyAny>, text: &str) -> bool {
    value.cast::<PyString>().is_ok_and(|value| value.to_str().is_ok_and(|value| value == text))
}

fn is_same_text(text: &Bound<'_, PyString>, other: Option<&Bound<'_, PyAny>>) -> bool {
    other.is_some_and(|other| other.cast::<PyString>().is_ok_and(|other| text.as_any().eq(other).unwrap_or(false)))
}

/// Writes the value of a pair; one that there is no room for leaves its place empty.
fn write_value(value: &Bound<'_, PyAny>, tape: &mut Tape) -> Written {
    let written = convert::write(value, tape);
    if written == Written::LeftOut {
        tape.null();
    }
    written
}

/// Tags of any shape as texts.
fn texts(tags: &Bound<'_, PyAny>) -> Vec<String> {
    let text = |tag: Bound<'_, PyAny>| lenient_text(&tag);
    if let Ok(tags) = tags.cast::<PyList>() {
        tags.iter().map(text).collect()
    } else if let Ok(tags) = tags.cast::<PyTuple>() {
        tags.iter().map(text).collect()
    } else if let Ok(tags) = tags.cast::<PySet>() {
        tags.iter().map(text).collect()
    } else {
        Vec::new()
    }
}
