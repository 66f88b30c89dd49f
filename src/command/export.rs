//! `ironspan export`: traces as lines, one span each: JSON with the content, CSV without, OTLP JSON; or one as a page.
//! Parquet is written by Python, which has Arrow, and OTLP to a receiver by `send.rs`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use super::args::{Common, Export, Format};
use super::list::{nothing, unsigned};
use super::output::{Failure, Out, iso};
use super::{ParquetError, ParquetFile, Written, send, store};
use crate::store::read::otlp;
use crate::store::read::page::MOST;
use crate::store::read::span::SpanContent;
use crate::store::read::traces::{Sort, TraceRow};
use crate::store::read::{Json, Reader};
use crate::terminal::format;
use crate::viewer::export::write_page;

pub(crate) fn run(common: &Common, export: &Export, out: &mut Out<'_>) -> Result<(), Failure> {
    if let Some(url) = &export.otlp {
        return send::run(common, export, url, out);
    }
    let reader = store::reader(common, out)?;
    let mut query = store::query(&reader, &export.selection)?;
    query.limit = MOST;
    let form = form(export);
    if form == Format::Parquet {
        return parquet(common, export, out);
    }
    if form == Format::Html {
        let fitting = reader.traces(&query, Sort::Start, false)?.traces.len();
        if fitting > 1 {
            return Err(Failure::Usage(
                format!("a page holds one trace, and {fitting} fit"),
                Some(String::from("name one by the beginning of its id: ironspan export id:8898 --format html")),
            ));
        }
    }
    let total = store::count(&reader, &query, out);
    let mut page = reader.traces(&query, Sort::Start, false)?;
    if page.traces.is_empty() {
        return Err(Failure::Nothing(nothing(&export.selection.filter())));
    }
    let mut file = export.output.as_deref().map(|path| open(&out.path(path))).transpose()?;
    let mut written = Written::default();
    if form == Format::Csv {
        write(&mut file, out, CSV_TITLES)?;
    }
    loop {
        for trace in &page.traces {
            written.spans += one(&reader, trace, form, &mut |text, out| write(&mut file, out, text), out)?;
            written.traces += 1;
            out.step(written.traces, total, "traces written")?;
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
        page = reader.traces(&query, Sort::Start, false)?;
    }
    if let Some(file) = &mut file {
        file.flush()?;
        tell(written, out)?;
    }
    Ok(())
}

fn tell(written: Written, out: &mut Out<'_>) -> Result<(), Failure> {
    let (traces, spans) = (format::plural(written.traces, "trace"), format::plural(written.spans, "span"));
    out.note(&format!("{traces} with {spans} written"))
}

/// Has Python write the file.
fn parquet(common: &Common, export: &Export, out: &mut Out<'_>) -> Result<(), Failure> {
    let Some(path) = &export.output else {
        return Err(Failure::Usage(
            String::from("Parquet is no text for standard output"),
            Some(String::from("name a file: ironspan export -o spans.parquet")),
        ));
    };
    let file = ParquetFile {
        store: store::place(common, out)?,
        path: out.path(path),
        filter: export.selection.filter(),
        since: export.selection.since.clone(),
        until: export.selection.until.clone(),
    };
    match out.parquet(&file) {
        Ok(Written { traces: 0, .. }) => Err(Failure::Nothing(nothing(&file.filter))),
        Ok(written) => tell(written, out),
        Err(ParquetError::Missing(why)) => Err(Failure::Usage(
            format!("Parquet needs the package pyarrow: {why}"),
            Some(String::from("pip install pyarrow, or write --format jsonl or csv")),
        )),
        Err(ParquetError::Failed(why)) => Err(Failure::Store(why)),
    }
}

fn form(export: &Export) -> Format {
    let by_name = export.output.as_deref().and_then(Path::extension).and_then(|extension| {
        match extension.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "html" | "htm" => Some(Format::Html),
            "parquet" | "pq" => Some(Format::Parquet),
            _ => None,
        }
    });
    export.format.or(by_name).unwrap_or(Format::Jsonl)
}

/// A new file for nobody but the user: prompts are in it.
fn open(path: &Path) -> Result<BufWriter<std::fs::File>, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file =
        options.open(path).map_err(|error| Failure::Store(format!("{} cannot be written: {error}", path.display())))?;
    Ok(BufWriter::new(file))
}

fn write(file: &mut Option<BufWriter<std::fs::File>>, out: &mut Out<'_>, line: &str) -> Result<(), Failure> {
    match file {
        Some(file) => Ok(writeln!(file, "{line}")?),
        None => out.line(line),
    }
}

type Sink<'s> = dyn FnMut(&str, &mut Out<'_>) -> Result<(), Failure> + 's;

/// Writes one trace; returns how many spans that was.
fn one(
    reader: &Reader,
    trace: &TraceRow,
    form: Format,
    sink: &mut Sink<'_>,
    out: &mut Out<'_>,
) -> Result<u64, Failure> {
    let whole = reader.trace(&trace.id)?;
    if form == Format::Html {
        let contents = whole.spans.spans.iter().map(|span| reader.span(&trace.id, &span.id, false));
        let contents: Vec<SpanContent> = contents.collect::<Result<_, _>>()?;
        let mut page = String::new();
        write_page(&whole, &contents, &mut page);
        sink(page.trim_end(), out)?;
        return Ok(contents.len() as u64);
    }
    let mut ended = Vec::new();
    for span in &whole.spans.spans {
        match form {
            Format::Jsonl => sink(&reader.span(&trace.id, &span.id, true)?.to_json(), out)?,
            Format::OtlpJson if span.status.is_open() => {}
            Format::OtlpJson => ended.push(reader.span(&trace.id, &span.id, true)?),
            Format::Html | Format::Parquet => {}
            Format::Csv => sink(&csv(trace, &reader.span(&trace.id, &span.id, false)?), out)?,
        }
    }
    if !ended.is_empty() {
        let mut line = String::new();
        otlp::write(&ended, &mut line);
        sink(&line, out)?;
    }
    Ok(whole.spans.spans.len() as u64)
}

const CSV_TITLES: &str = "trace_id,span_id,parent_id,started,duration_ms,kind,name,status,agent,model,input_tokens,\
                          output_tokens,cost,error_type,error,session,user,service";

fn csv(trace: &TraceRow, span: &SpanContent) -> String {
    let mut line = String::new();
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let error = span.error.as_ref();
    let milliseconds = unsigned(span.duration_ns) / 1_000_000;
    let rest = unsigned(span.duration_ns) % 1_000_000;
    for (at, field) in [
        span.trace.as_str(),
        &span.id,
        span.parent.as_deref().unwrap_or_default(),
        &iso(span.start_ns),
        &format!("{milliseconds}.{rest:06}"),
        span.kind.name(),
        &span.name,
        span.status.name(),
        span.agent.as_deref().unwrap_or_default(),
        span.model.as_deref().unwrap_or_default(),
        &number(span.usage.input),
        &number(span.usage.output),
        &span.cost.map(|cost| Value::from(cost).to_string()).unwrap_or_default(),
        error.and_then(|error| error.error_type.as_deref()).unwrap_or_default(),
        error.and_then(|error| error.message.as_deref()).unwrap_or_default(),
        trace.session.as_deref().unwrap_or_default(),
        trace.user.as_deref().unwrap_or_default(),
        span.service.as_deref().unwrap_or_default(),
    ]
    .into_iter()
    .enumerate()
    {
        if at > 0 {
            line.push(',');
        }
        push_field(field, &mut line);
    }
    line
}

/// A field as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an apostrophe in front: names and
/// errors come from models and from users (CWE-1236).
fn push_field(text: &str, out: &mut String) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%']) && text.parse::<f64>().is_err();
    if !is_formula && !text.contains([',', '"', '\n', '\r']) {
        out.push_str(text);
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_are_text() {
        for (text, field) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("@sum(a1)", "\"'@sum(a1)\""),
            ("-4.5", "-4.5"),
            ("-4.5=1", "\"'-4.5=1\""),
            ("", ""),
        ] {
            let mut out = String::new();
            push_field(text, &mut out);
            assert_eq!(out, field);
        }
    }
}
