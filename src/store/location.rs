//! Where the store is when nobody names a file.
//!
//! `IRONSPAN_STORE`, then `./.ironspan/` where that folder exists, then the user's data folder: so that `ironspan view`
//! finds from any directory what a program has recorded.

use std::path::{Path, PathBuf};

use crate::config::Environment;

/// The file's name in whatever folder.
pub const FILE: &str = "traces.db";
/// The folder in a project.
pub const PROJECT_FOLDER: &str = ".ironspan";

/// The store's file by environment and folders; `None` when there is no folder that could hold it.
///
/// `IRONSPAN_STORE` counts when it names a file: `memory` and `off` say what a program does, not where to read.
#[must_use]
pub fn default_file(environment: &dyn Environment, working_folder: &Path) -> Option<PathBuf> {
    let named = environment.get("IRONSPAN_STORE").filter(|text| {
        let word = text.trim();
        !word.is_empty() && !["auto", "memory", "off"].iter().any(|special| word.eq_ignore_ascii_case(special))
    });
    if let Some(named) = named {
        return Some(working_folder.join(named.trim()));
    }
    let project = working_folder.join(PROJECT_FOLDER);
    if project.is_dir() {
        return Some(project.join(FILE));
    }
    Some(data_folder(environment)?.join("ironspan").join(FILE))
}

/// The user's folder for application data (XDG Base Directory Specification; `Library/Application Support` on macOS,
/// `LOCALAPPDATA` on Windows).
fn data_folder(environment: &dyn Environment) -> Option<PathBuf> {
    let variable = |name: &str| environment.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return variable("LOCALAPPDATA").or_else(|| Some(variable("USERPROFILE")?.join("AppData").join("Local")));
    }
    if cfg!(target_os = "macos") {
        return Some(variable("HOME")?.join("Library").join("Application Support"));
    }
    // The specification has relative paths ignored.
    variable("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| Some(variable("HOME")?.join(".local").join("share")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use crate::config::MapEnvironment;
    use crate::config::testing::Folder;

    fn found(variables: &[(&str, &str)], folder: &Path) -> Option<PathBuf> {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        default_file(&pairs.collect::<MapEnvironment>(), folder)
    }

    #[test]
    fn the_variable_then_the_project_then_the_user() {
        let folder = Folder::new();
        let here = folder.0.as_path();
        assert_eq!(found(&[("IRONSPAN_STORE", "a.db"), ("HOME", "/h")], here), Some(here.join("a.db")));
        assert_eq!(found(&[("IRONSPAN_STORE", "/b.db")], here), Some(PathBuf::from("/b.db")));
        if cfg!(target_os = "linux") {
            let home = Some(PathBuf::from("/h/.local/share/ironspan/traces.db"));
            assert_eq!(found(&[("HOME", "/h"), ("IRONSPAN_STORE", "Memory")], here), home);
            assert_eq!(found(&[("HOME", "/h"), ("XDG_DATA_HOME", "data")], here), home);
            let data = Some(PathBuf::from("/d/ironspan/traces.db"));
            assert_eq!(found(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], here), data);
            assert_eq!(found(&[], here), None);
        }
        std::fs::create_dir(here.join(PROJECT_FOLDER)).unwrap();
        assert_eq!(found(&[("HOME", "/h")], here), Some(here.join(".ironspan/traces.db")));
    }
}
