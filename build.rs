//! Puts the viewer's files into the program: every file under `src/viewer/ui`, as it is, with a hash of its content.
//!
//! No step of theirs before: the folder holds them exactly as served, so that building needs neither node nor a network.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = root.join("src").join("viewer").join("ui");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    if env::var_os("CARGO_FEATURE_LOCAL").is_some() {
        find(&folder, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name: Vec<String> =
            file.strip_prefix(&folder).into_iter().flatten().map(|part| part.to_string_lossy().into_owned()).collect();
        let hash = hash(&fs::read(file)?);
        let path = file.display().to_string();
        // Writing into a string cannot fail.
        let _ = writeln!(table, "    ({:?}, \"{hash:016x}\", include_bytes!({path:?})),", name.join("/"));
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("ui.rs"), table)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            find(&path, files)?;
        } else if !hidden {
            files.push(path);
        }
    }
    Ok(())
}

/// FNV-1a, 64 bits: tells versions of a file apart, and needs no crate.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
