//! The file sink: OTLP JSON lines, one `TracesData` object per batch and line, appended to a file or written to standard
//! output. Each line is also a valid body for `POST /v1/traces`, and what a Collector's `otlpjsonfile` receiver reads.
//!
//! Source: OpenTelemetry specification, "OpenTelemetry Protocol File Exporter".
//!
//! "Delivered" means handed to the operating system, so it survives the end of the process and not that of the machine.
//! A line that could not be written whole (disk full) is cut back, its spans are counted as lost, and the next batch
//! tries again. A file that was moved or deleted meanwhile is made anew, so that log rotation works.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{FileConfig, FileTarget};
use crate::ledger::{DropReason, Ledger};
use crate::sinks::otlp::{encode, json};
use crate::sinks::stdout::{Output, Stdout};
use crate::sinks::worker::{Again, LocalSink, Writer};
use crate::sinks::{Delivery, Destination, Health};

/// The file sink.
pub type FileSink = LocalSink<FileWriter>;

/// A file sink for `config` that counts in `destination`. The file is opened with the first batch.
#[must_use]
pub fn sink(config: &FileConfig, destination: Arc<Destination>, ledger: &'static Ledger) -> FileSink {
    let place: Box<dyn Lines> = match &config.target {
        FileTarget::Path(path) => Box::new(Appended::new(path.clone())),
        FileTarget::Stdout => Box::new(Stream { output: Box::new(Stdout), is_torn: false }),
    };
    let writer = FileWriter { place, destination: Arc::clone(&destination) };
    LocalSink::new("ironspan-file", writer, destination, ledger)
}

/// A place that takes whole lines.
trait Lines: Send + fmt::Debug {
    /// Appends `line`, which ends in a line feed. After an error nothing of it stays, or what stays is a broken line of
    /// its own that readers skip.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// What the place is called in a message.
    fn name(&self) -> String;
}

/// Turns deliveries into lines.
#[derive(Debug)]
pub struct FileWriter {
    place: Box<dyn Lines>,
    destination: Arc<Destination>,
}

impl Writer for FileWriter {
    fn write(&mut self, delivery: Delivery) -> Option<Again> {
        let Some(data) = encode::traces_data([&delivery]) else {
            delivery.delivered();
            return None;
        };
        let mut line = json::to_json(&data);
        drop(data);
        line.push(b'\n');
        match self.place.append(&line) {
            Ok(()) => {
                self.destination.set_health(Health::Healthy);
                delivery.delivered();
            }
            Err(error) => {
                self.destination.set_health(Health::Retrying);
                self.destination.set_last_error(&format!("{}: {error}", self.place.name()));
                delivery.dropped(DropReason::Failed);
            }
        }
        None
    }
}

/// A stream that cannot be cut back.
#[derive(Debug)]
struct Stream {
    output: Box<dyn Output>,
    /// A part of a line may stand at the end.
    is_torn: bool,
}

impl Lines for Stream {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.output.write(b"\n")?;
        }
        let result = self.output.write(line);
        self.is_torn = result.is_err();
        result
    }

    fn name(&self) -> String {
        String::from("standard output")
    }
}

/// A file that lines are appended to. Other processes may append to it too: each line is one `write`, and the operating
/// system does not mix those.
#[derive(Debug)]
struct Appended {
    path: PathBuf,
    file: Option<File>,
    /// A part of a line stands at the end: another writer was killed, or has appended before ours could be cut back.
    is_torn: bool,
}

/// What is needed of a file to append whole lines; the tests put a full disk behind it.
trait Storage {
    fn len(&self) -> io::Result<u64>;
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Appends `line` as a whole. If that fails, what was written of it is cut off again; if that is not possible, because
/// somebody else has appended since, `is_torn` is set.
fn append_whole(storage: &mut dyn Storage, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    let before = storage.len()?;
    let mut rest = line;
    let failure = loop {
        if rest.is_empty() {
            return Ok(());
        }
        match storage.append(rest) {
            Ok(0) => break io::Error::from(io::ErrorKind::WriteZero),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    let written = (line.len() - rest.len()) as u64;
    if written > 0 {
        let is_last = storage.len().is_ok_and(|len| len == before + written);
        *is_torn |= !(is_last && storage.cut(before).is_ok());
    }
    Err(failure)
}

impl Appended {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, is_torn: false }
    }

    /// The open file, made anew when the path has come to mean another one.
    fn file(&mut self) -> io::Result<&mut File> {
        if let Some(file) = &self.file
            && !is_at(file, &self.path)
        {
            self.file = None;
        }
        if self.file.is_none() {
            let mut file = open(&self.path)?;
            self.is_torn = ends_within_a_line(&mut file)?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Lines for Appended {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file()?;
        let Self { file: Some(file), is_torn, .. } = self else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        if *is_torn {
            // What stands there is closed and stays a line that no reader accepts.
            append_whole(file, b"\n", is_torn)?;
            *is_torn = false;
        }
        append_whole(file, line, is_torn)
    }

    fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// Opens for appending, readable by the owner only. Links are not followed: whoever may plant one in the folder must not
/// choose the file that we write to.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Without O_NONBLOCK the opening of a pipe waits for its reader.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    one.dev() == other.dev() && one.ino() == other.ino()
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    // Elsewhere an open file cannot be moved or deleted.
    true
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => is_same(&open, &named),
        _ => false,
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests;
