//! Standard output for sinks, without the standard library's lock around it: a thread that blocks in a full pipe would
//! hold that lock for ever, and the child of a fork would inherit it locked.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};

/// Where a sink writes text to.
pub trait Output: Send + fmt::Debug {
    /// Writes all of `bytes`. May block.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; a part may have been written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Whether a person looks at it.
    fn is_terminal(&self) -> bool;
}

/// The standard output of this process, whatever it is at the moment of writing: programs redirect it while they run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stdout;

#[cfg(unix)]
fn duplicate() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    // The handle of the standard library is used as a number only.
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn duplicate() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    io::stdout().as_handle().try_clone_to_owned().map(File::from)
}

impl Output for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        duplicate()?.write_all(bytes)
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Not a test of its own: what the child process of the tests below does.
    #[test]
    fn child_writes_to_its_standard_output() {
        if std::env::var_os("IRONSPAN_TEST_CHILD").is_none() {
            return;
        }
        // An error here is for the parent to see: the exit code.
        let result = Stdout.write(b"<ironspan>\n");
        std::process::exit(if result.is_ok() { 42 } else { 43 });
    }

    fn child(stdout: Stdio) -> std::process::Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sinks::stdout::tests::child_writes_to_its_standard_output", "--nocapture"])
            .env("IRONSPAN_TEST_CHILD", "1")
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap()
    }

    #[test]
    fn text_arrives_whole_on_the_real_standard_output() {
        let output = child(Stdio::piped());
        assert_eq!(output.status.code(), Some(42));
        assert!(String::from_utf8(output.stdout).unwrap().contains("<ironspan>\n"));
    }
}
