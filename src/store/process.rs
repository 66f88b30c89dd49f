//! Which process a running span belongs to, and whether that process still runs.

use std::sync::OnceLock;

/// A process: its number alone would be given out again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// When it began, by the system's own mark: the boot and, on Linux, the start time of `/proc/pid/stat`.
    pub birth: String,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        Self { host: host().to_owned(), pid, birth: birth(pid).unwrap_or_default() }
    }

    /// Whether it runs; `None` where this machine cannot say: a process of another machine, or a system without `/proc`.
    #[must_use]
    pub fn is_alive(&self) -> Option<bool> {
        if self.host != host() || self.birth.is_empty() {
            return None;
        }
        Some(birth(self.pid).is_some_and(|birth| birth == self.birth))
    }
}

/// The machine's name, as the resource has it too.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| crate::config::host_name().unwrap_or_else(|| String::from("unknown")))
}

/// `boot id:start time`. Zombies have ended, though they are still listed.
fn birth(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included; the state is the first field after it.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    (!matches!(state, "Z" | "X")).then(|| format!("{}:{started}", boot.trim()))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_from_another_one_with_its_number() {
        let this = Process::this();
        assert_eq!(this.is_alive(), Some(true));
        assert_eq!(Process { birth: format!("{}0", this.birth), ..this.clone() }.is_alive(), Some(false));
        assert_eq!(Process { host: String::from("elsewhere"), ..this }.is_alive(), None);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process =
            Process { host: host().to_owned(), pid: child.id(), birth: birth(child.id()).unwrap_or_default() };
        child.wait().unwrap();
        assert_ne!(process.is_alive(), Some(true));
    }
}
