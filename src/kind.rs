//! What a step is (`Kind`), what OpenTelemetry calls it (`SpanKind`), and how it ended (`Outcome`).

/// What a step of an agent run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Any step.
    #[default]
    Span = 0,
    /// A run that coordinates agents or steps.
    Workflow = 1,
    /// One turn of an agent.
    Agent = 2,
    /// A call of a language model.
    Generation = 3,
    /// A search for documents.
    Retrieval = 4,
    /// A call of an embedding model.
    Embedding = 5,
    /// Reordering of documents.
    Rerank = 6,
    /// A tool that runs.
    Tool = 7,
    /// A judgement on output.
    Evaluator = 8,
    /// A safety check.
    Guardrail = 9,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Span,
        Self::Workflow,
        Self::Agent,
        Self::Generation,
        Self::Retrieval,
        Self::Embedding,
        Self::Rerank,
        Self::Tool,
        Self::Evaluator,
        Self::Guardrail,
    ];

    /// The name of record, as in `ironspan.kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Workflow => "workflow",
            Self::Agent => "agent",
            Self::Generation => "generation",
            Self::Retrieval => "retrieval",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
            Self::Tool => "tool",
            Self::Evaluator => "evaluator",
            Self::Guardrail => "guardrail",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The value of `gen_ai.operation.name`, where the conventions have one (GenAI semantic conventions, spans).
    #[must_use]
    pub fn operation(self) -> Option<&'static str> {
        match self {
            Self::Workflow => Some("invoke_workflow"),
            Self::Agent => Some("invoke_agent"),
            Self::Generation => Some("chat"),
            Self::Retrieval => Some("retrieval"),
            Self::Embedding => Some("embeddings"),
            Self::Tool => Some("execute_tool"),
            Self::Span | Self::Rerank | Self::Evaluator | Self::Guardrail => None,
        }
    }

    /// The SpanKind that follows from the kind when the caller names none (GenAI semantic conventions, spans).
    #[must_use]
    pub fn default_span_kind(self) -> SpanKind {
        match self {
            Self::Generation | Self::Retrieval | Self::Embedding => SpanKind::Client,
            _ => SpanKind::Internal,
        }
    }
}

/// OpenTelemetry's SpanKind, numbered as in OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpanKind {
    /// An operation inside the process.
    #[default]
    Internal = 1,
    /// The serving side of a remote call.
    Server = 2,
    /// The calling side of a remote call.
    Client = 3,
    /// Puts a message on a queue.
    Producer = 4,
    /// Takes a message from a queue.
    Consumer = 5,
}

impl SpanKind {
    /// The kind of that (lower-case) name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "internal" => Self::Internal,
            "server" => Self::Server,
            "client" => Self::Client,
            "producer" => Self::Producer,
            "consumer" => Self::Consumer,
            _ => return None,
        })
    }
}

/// How a step ended. On the wire `Error` is `STATUS_CODE_ERROR` and everything else `UNSET`; the word itself travels as
/// `ironspan.status` when it is neither `ok` nor `error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Nothing went wrong.
    #[default]
    Ok = 0,
    /// It failed.
    Error = 1,
    /// It was stopped from outside: cancelled task, closed generator, interrupt from the keyboard.
    Cancelled = 2,
    /// It paused to be resumed later.
    Interrupted = 3,
    /// Its handle went away without `end()`.
    Abandoned = 4,
}

impl Outcome {
    /// The word of record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Abandoned => "abandoned",
        }
    }

    /// The outcome of that number; unknown numbers are errors, so that none is hidden.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Ok,
            2 => Self::Cancelled,
            3 => Self::Interrupted,
            4 => Self::Abandoned,
            _ => Self::Error,
        }
    }
}
