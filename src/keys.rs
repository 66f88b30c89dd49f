//! Keys that a record carries by number: payloads whose meaning the collector works out, and the parts of a span that
//! are no attributes (events, links, errors). Names on the wire come from the GenAI semantic conventions, core semantic
//! conventions and, under `ironspan.`, from us.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// A key by number. The numbers never leave the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Key {
            $($(#[$doc])* $name = $number,)*
        }

        impl Key {
            /// The key of that number.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

keys! {
    /// The name a caller gives a span. Text. Always the first entry of a tape.
    Name = 1;
    /// What went into the step: any value.
    Input = 2;
    /// What came out of it: any value. The last one wins.
    Output = 3;
    /// Messages sent to a model: any shape that a provider or framework uses.
    Messages = 4;
    /// Request parameters of a model call: a mapping.
    Params = 5;
    /// Tool definitions offered to a model.
    Tools = 6;
    /// The prompt template in use: text, or a mapping with `name`, `version`, `variables`.
    Prompt = 7;
    /// Model asked for: text.
    Model = 8;
    /// Provider of the model: text, any common spelling.
    Provider = 9;
    /// The query of a retrieval: any value.
    Query = 10;
    /// Where a retrieval looks: text.
    Source = 11;
    /// Documents asked for: integer.
    TopK = 12;
    /// Documents found: a sequence in any shape that frameworks use.
    Documents = 13;
    /// Arguments of a tool call: any value.
    Arguments = 14;
    /// The id that links a tool's run to the model's request for it: text.
    CallId = 15;
    /// What a tool or an agent is for: text.
    Description = 16;
    /// The role of an agent: text.
    Role = 17;
    /// Tags: a list of texts. Adds up.
    Tags = 18;
    /// Token counts: a mapping with any of `input`, `output`, `cached`, `cache_write`, `reasoning`. Later keys win one by one.
    Usage = 19;
    /// Cost in USD: a mapping with `total`.
    Cost = 20;
    /// Why the model stopped: text. Adds up, one per choice.
    FinishReason = 21;
    /// Attributes: a mapping, as if each pair had been set.
    Attributes = 22;
    /// An event: list of ticks, name, level, mapping of attributes.
    Event = 23;
    /// A link: list of trace id and span id (bytes), flags, trace state, role or null, mapping of attributes.
    Link = 24;
    /// An exception: list of ticks, type, message, stack trace, sequence of causes.
    Exception = 25;
    /// What went wrong, without an exception object: text.
    ErrorMessage = 26;
    /// Time from the start of the request to the first chunk of a stream, in ticks: integer.
    FirstChunk = 27;
    /// Chunks of a stream: integer.
    ChunkCount = 28;
    /// The result of a stream was not read to its end: boolean.
    StreamDropped = 29;
}

/// Names of attributes on the wire that the core writes itself.
pub mod names {
    /// What the step is (ours; design of record).
    pub const KIND: &str = "ironspan.kind";
    /// How it ended, when that is neither ok nor error (ours).
    pub const STATUS: &str = "ironspan.status";
    /// Something was cut to fit a limit (ours).
    pub const TRUNCATED: &str = "ironspan.truncated";
    /// The handle went away without `end()` (ours).
    pub const ABANDONED: &str = "ironspan.abandoned";
    /// Tags (ours; OpenInference has `tag.tags`).
    pub const TAGS: &str = "ironspan.tags";
    /// What a link is for (ours).
    pub const LINK_ROLE: &str = "ironspan.link.role";
    /// Level of an event (ours).
    pub const EVENT_LEVEL: &str = "ironspan.level";
    /// Session (core semantic conventions, session).
    pub const SESSION_ID: &str = "session.id";
    /// Conversation (GenAI semantic conventions, spans): the same value as the session.
    pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
    /// User (core semantic conventions, user).
    pub const USER_ID: &str = "user.id";
    /// Class of the error (core semantic conventions, error).
    pub const ERROR_TYPE: &str = "error.type";
    /// Core semantic conventions, exceptions.
    pub const EXCEPTION_TYPE: &str = "exception.type";
    /// Core semantic conventions, exceptions.
    pub const EXCEPTION_MESSAGE: &str = "exception.message";
    /// Core semantic conventions, exceptions.
    pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";
    /// The chain of causes as JSON, nearest first (ours).
    pub const EXCEPTION_CAUSES: &str = "ironspan.exception.causes";
}
