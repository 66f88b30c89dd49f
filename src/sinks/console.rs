//! The console sink: finished traces on standard output, as one line or as a tree, when their root has ended.
//!
//! Of every span only what a line needs is kept until then, within a byte bound; a delivery is settled as soon as that is
//! taken and printed, so that long traces do not use up the pipeline's memory. What does not fit the picture of a trace
//! is told in a line of its own: spans that end after their root, traces whose root is not seen before the bound or the
//! end of the program.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::{Colour, ConsoleConfig, ConsoleMode};
use crate::finished::SpanView;
use crate::ids::{SpanId, TraceId};
use crate::ledger::{DropReason, Ledger};
use crate::sinks::stdout::{Output, Stdout};
use crate::sinks::worker::{Again, LocalSink, Writer};
use crate::sinks::{Delivery, Destination, Health};
use crate::terminal::line::Screen;
use crate::terminal::render::{render_headline, render_late, render_tree};
use crate::terminal::step::Step;
use crate::terminal::tree::{Tree, below, summarise};

/// Bytes of all traces that wait for their root.
const MAX_BYTES: usize = 16 << 20;
/// Bytes of one of them; steps beyond are counted and not shown.
const MAX_TRACE_BYTES: usize = 8 << 20;
/// Traces that wait for their root.
const MAX_TRACES: usize = 1024;
/// Traces that were printed and whose late spans are recognised.
const MAX_PRINTED: usize = 256;
/// Late spans, and unfinished traces at the end, that get a line of their own at a time.
const MAX_LINES: usize = 20;
/// Columns where nobody knows better.
const COLUMNS: u16 = 100;
/// OTLP flag of a span whose parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// The console sink.
pub type ConsoleSink = LocalSink<ConsoleWriter>;

/// A console sink that writes to standard output, and counts in `destination`.
#[must_use]
pub fn sink(config: ConsoleConfig, destination: Arc<Destination>, ledger: &'static Ledger) -> ConsoleSink {
    let writer = ConsoleWriter::new(config, Box::new(Stdout), Arc::clone(&destination));
    LocalSink::new("ironspan-term", writer, destination, ledger)
}

/// A trace that waits for its root.
#[derive(Debug, Default)]
struct Open {
    steps: Vec<Step>,
    session: Option<Box<str>>,
    bytes: usize,
    /// Steps beyond the bound.
    beyond: u64,
    /// When it grew last, in deliveries.
    touched: u64,
}

/// Collects steps by trace and prints traces.
#[derive(Debug)]
pub struct ConsoleWriter {
    config: ConsoleConfig,
    output: Box<dyn Output>,
    destination: Arc<Destination>,
    open: HashMap<TraceId, Open>,
    bytes: usize,
    deliveries: u64,
    printed: VecDeque<(TraceId, Box<str>)>,
}

/// Spans that ended after their trace was printed.
#[derive(Debug, Default)]
struct Late {
    lines: Vec<String>,
    more: u64,
}

impl ConsoleWriter {
    fn new(config: ConsoleConfig, output: Box<dyn Output>, destination: Arc<Destination>) -> Self {
        Self { config, output, destination, open: HashMap::new(), bytes: 0, deliveries: 0, printed: VecDeque::new() }
    }

    fn screen(&self) -> Screen {
        Screen {
            columns: usize::from(self.config.columns.unwrap_or(COLUMNS)),
            unicode: self.config.unicode,
            colour: match self.config.colour {
                Colour::Always => true,
                Colour::Never => false,
                Colour::Auto => self.output.is_terminal(),
            },
        }
    }

    /// Keeps what is needed of a span. Says which root has ended, if it is one.
    fn take(&mut self, span: &SpanView<'_>, late: &mut Late) -> Option<(TraceId, SpanId)> {
        let head = span.head();
        let is_root = head.parent_id.is_none() || head.flags & IS_REMOTE != 0;
        let (step, session) = Step::from_span(span);
        if !is_root
            && !self.open.contains_key(&head.trace_id)
            && let Some((_, name)) = self.printed.iter().find(|(id, _)| *id == head.trace_id)
        {
            if late.lines.len() < MAX_LINES {
                late.lines.push(render_late(&step, name, head.trace_id, self.screen()));
            } else {
                late.more += 1;
            }
            return None;
        }
        let trace = self.open.entry(head.trace_id).or_default();
        trace.touched = self.deliveries;
        trace.session = session.or_else(|| trace.session.take());
        let bytes = step.bytes();
        // The root always fits: it comes last, and nothing is printed without it.
        if trace.bytes + bytes <= MAX_TRACE_BYTES || is_root {
            trace.bytes += bytes;
            self.bytes += bytes;
            trace.steps.push(step);
        } else {
            trace.beyond += 1;
        }
        is_root.then_some((head.trace_id, head.span_id))
    }

    /// Prints what hangs below a root that has ended.
    fn finish_root(&mut self, (trace_id, root): (TraceId, SpanId), out: &mut String) {
        let Some(mut trace) = self.open.remove(&trace_id) else { return };
        self.bytes -= trace.bytes;
        let Some(at) = trace.steps.iter().position(|step| step.id == root) else {
            // Another root of this trace took it along.
            return self.put_back(trace_id, trace);
        };
        if trace.steps.get(at).is_some_and(|step| step.parent.is_some()) {
            // The trace has its root elsewhere and may have more parts here, so the rest goes on waiting for those.
            let own = below(&trace.steps, at);
            let (mut mine, mut others) = (Vec::new(), Vec::new());
            for (at, step) in trace.steps.into_iter().enumerate() {
                if own.contains(&at) { mine.push(step) } else { others.push(step) }
            }
            let session = trace.session.clone();
            if !others.is_empty() {
                let bytes = others.iter().map(Step::bytes).sum();
                self.put_back(trace_id, Open { steps: others, bytes, ..trace });
            }
            trace = Open { steps: mine, session, ..Open::default() };
        }
        let Some(at) = trace.steps.iter().position(|step| step.id == root) else { return };
        let whole = trace.steps.get(at).filter(|step| step.parent.is_none()).map(|step| step.name.clone());
        self.print(self.config.mode, trace_id, trace, Some(at), out);
        // Of a part of a foreign trace nobody knows whether more follows: that is gathered anew.
        if let Some(name) = whole {
            if self.printed.len() == MAX_PRINTED {
                self.printed.pop_front();
            }
            self.printed.push_back((trace_id, name));
        }
    }

    fn put_back(&mut self, trace_id: TraceId, trace: Open) {
        if !trace.steps.is_empty() {
            self.bytes += trace.bytes;
            self.open.insert(trace_id, trace);
        }
    }

    fn print(&self, mode: ConsoleMode, trace_id: TraceId, trace: Open, root: Option<usize>, out: &mut String) {
        let screen = self.screen();
        let mut summary = summarise(trace_id, &trace.steps, root, trace.session);
        summary.spans += trace.beyond;
        out.push_str(&render_headline(&summary, screen));
        out.push('\n');
        if mode == ConsoleMode::Tree {
            out.push('\n');
            out.push_str(&render_tree(&Tree::new(&trace.steps, root), &trace.steps, screen));
            if trace.beyond > 0 {
                let written = writeln!(out, "and {} more spans that were not kept", trace.beyond);
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
            out.push('\n');
        }
    }

    /// Makes room: the trace that has not grown for the longest time is told in a line and forgotten.
    fn evict(&mut self, out: &mut String) {
        while self.bytes > MAX_BYTES || self.open.len() > MAX_TRACES {
            let oldest = self.open.iter().min_by_key(|(_, trace)| trace.touched).map(|(&trace_id, _)| trace_id);
            let Some((trace_id, trace)) = oldest.and_then(|id| Some((id, self.open.remove(&id)?))) else { return };
            self.bytes -= trace.bytes;
            self.print(ConsoleMode::Summary, trace_id, trace, None, out);
        }
    }

    fn write_out(&mut self, text: &str) -> bool {
        if text.is_empty() {
            return true;
        }
        match self.output.write(text.as_bytes()) {
            Ok(()) => {
                self.destination.set_health(Health::Healthy);
                true
            }
            Err(error) => {
                self.destination.set_health(Health::Retrying);
                self.destination.set_last_error(&format!("standard output: {error}"));
                false
            }
        }
    }
}

impl Writer for ConsoleWriter {
    fn write(&mut self, delivery: Delivery) -> Option<Again> {
        self.deliveries += 1;
        let mut late = Late::default();
        let roots: Vec<_> = delivery.spans().filter_map(|span| self.take(&span, &mut late)).collect();
        let mut out = String::new();
        for root in roots {
            self.finish_root(root, &mut out);
        }
        for line in late.lines {
            out.push_str(&line);
            out.push('\n');
        }
        if late.more > 0 {
            let written = writeln!(out, "late   {} more spans", late.more);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        self.evict(&mut out);
        if self.write_out(&out) {
            delivery.delivered();
        } else {
            delivery.dropped(DropReason::Failed);
        }
        None
    }

    fn finish(&mut self) {
        let mut rest: Vec<_> = self.open.drain().collect();
        rest.sort_by_key(|(_, trace)| trace.steps.iter().map(|step| step.start).min());
        self.bytes = 0;
        let more = rest.len().saturating_sub(MAX_LINES);
        let mut out = String::new();
        for (trace_id, trace) in rest.into_iter().take(MAX_LINES) {
            self.print(self.config.mode, trace_id, trace, None, &mut out);
        }
        if more > 0 {
            let written = writeln!(out, "and {more} more unfinished traces");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        self.write_out(&out);
    }
}

#[cfg(test)]
mod tests;
