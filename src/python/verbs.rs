//! Which verbs there are, which keywords each takes, and where each goes.

use crate::keys::Key;
use crate::kind::Kind;

/// Where a keyword goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    Payload(Key),
    Kind,
    Parent,
    Links,
    SpanKind,
    Name,
}

/// One verb.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What the first argument is.
    pub(super) subject: &'static str,
    pub(super) subject_key: Key,
    pub(super) keywords: &'static [(&'static str, Target)],
}

/// Keywords of every verb.
pub(super) const COMMON: [(&str, Target); 6] = [
    ("input", Target::Payload(Key::Input)),
    ("attributes", Target::Payload(Key::Attributes)),
    ("tags", Target::Payload(Key::Tags)),
    ("parent", Target::Parent),
    ("links", Target::Links),
    ("otel_kind", Target::SpanKind),
];

/// The verbs; elsewhere a verb is its place here.
pub(super) const VERBS: [Verb; 7] = [
    Verb {
        name: "span",
        kind: Kind::Span,
        subject: "name",
        subject_key: Key::Name,
        keywords: &[("kind", Target::Kind)],
    },
    Verb { name: "workflow", kind: Kind::Workflow, subject: "name", subject_key: Key::Name, keywords: &[] },
    Verb {
        name: "agent",
        kind: Kind::Agent,
        subject: "name",
        subject_key: Key::Name,
        keywords: &[("role", Target::Payload(Key::Role)), ("description", Target::Payload(Key::Description))],
    },
    Verb {
        name: "generation",
        kind: Kind::Generation,
        subject: "model",
        subject_key: Key::Model,
        keywords: &[
            ("provider", Target::Payload(Key::Provider)),
            ("messages", Target::Payload(Key::Messages)),
            ("params", Target::Payload(Key::Params)),
            ("tools", Target::Payload(Key::Tools)),
            ("prompt", Target::Payload(Key::Prompt)),
            ("name", Target::Name),
        ],
    },
    Verb {
        name: "retrieval",
        kind: Kind::Retrieval,
        subject: "query",
        subject_key: Key::Query,
        keywords: &[
            ("source", Target::Payload(Key::Source)),
            ("top_k", Target::Payload(Key::TopK)),
            ("name", Target::Name),
        ],
    },
    Verb {
        name: "embedding",
        kind: Kind::Embedding,
        subject: "model",
        subject_key: Key::Model,
        keywords: &[
            ("provider", Target::Payload(Key::Provider)),
            ("params", Target::Payload(Key::Params)),
            ("name", Target::Name),
        ],
    },
    Verb {
        name: "tool",
        kind: Kind::Tool,
        subject: "name",
        subject_key: Key::Name,
        keywords: &[
            ("arguments", Target::Payload(Key::Arguments)),
            ("call_id", Target::Payload(Key::CallId)),
            ("description", Target::Payload(Key::Description)),
        ],
    },
];
