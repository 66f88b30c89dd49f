//! Token counts, as they are written and as they are read.

/// Token counts; `None` where nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// In, with what came from a cache.
    pub input: Option<i64>,
    /// Out, with reasoning.
    pub output: Option<i64>,
    /// Of the input: read from a cache.
    pub cached: Option<i64>,
    /// Of the output: reasoning.
    pub reasoning: Option<i64>,
}

impl Tokens {
    /// Whether anything is known.
    #[must_use]
    pub fn any(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Adds what is known of `other`.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut Option<i64>, more: Option<i64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        };
        add(&mut self.input, other.input);
        add(&mut self.output, other.output);
        add(&mut self.cached, other.cached);
        add(&mut self.reasoning, other.reasoning);
    }

    /// Input and output together.
    #[must_use]
    pub fn total(&self) -> Option<i64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}
