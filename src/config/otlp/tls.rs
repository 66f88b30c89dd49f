//! Certificates and keys of an OTLP destination. They are read once while configuring, so that a wrong path is told at
//! `init` and not by a failed handshake later; the transport reads them again when it connects, since files rotate.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::error::{Problem, quoted};

/// Bytes of a PEM file that are read. The system's own bundle of all public roots has about 220 KB.
pub const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// PEM files for TLS; checked to be there and to look right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates to trust instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// Our certificate chain, for receivers that ask for one.
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert`.
    pub client_key: Option<PathBuf>,
}

/// What a file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pem {
    Certificate,
    PrivateKey,
}

/// Reads a PEM file of at most [`MAX_PEM_BYTES`].
///
/// # Errors
///
/// A file that cannot be read, is not a plain file (a pipe would block) or is too large.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, Problem> {
    let shown = || quoted(&path.to_string_lossy());
    let unreadable = |error: std::io::Error| {
        Problem::new(
            format!("is {}, which cannot be read ({error})", shown()),
            "write the path of a PEM file that this process may read",
        )
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Problem::new(format!("is {}, which is not a file", shown()), "write the path of a PEM file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(Problem::new(
            format!("is {}, which has more than {MAX_PEM_BYTES} bytes", shown()),
            "write the path of a PEM file",
        ));
    }
    Ok(bytes)
}

/// Checks that a file is there and holds what it should.
pub(super) fn check(path: &Path, expected: Pem) -> Result<(), Problem> {
    let bytes = read_pem(path)?;
    let (fault, instead) = match (expected, sections(&bytes)) {
        (_, Err(fault)) => (fault, "write the path of a complete PEM file"),
        (Pem::Certificate, Ok(labels)) => {
            if labels.iter().any(|label| label.ends_with("CERTIFICATE")) {
                return Ok(());
            }
            if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
                ("holds a private key and no certificate", "write the certificate here and the key as client key")
            } else {
                ("holds no certificate", "write a file with -----BEGIN CERTIFICATE----- in it (convert DER to PEM)")
            }
        }
        (Pem::PrivateKey, Ok(labels)) => {
            let is_encrypted = contains(&bytes, b"Proc-Type: 4,ENCRYPTED");
            if is_encrypted || labels.contains(&"ENCRYPTED PRIVATE KEY") {
                ("holds an encrypted key, and nobody could be asked for the password", "decrypt the key")
            } else if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
                return Ok(());
            } else {
                ("holds no private key", "write a file with -----BEGIN PRIVATE KEY----- in it")
            }
        }
    };
    Err(Problem::new(format!("is {}, which {fault}", quoted(&path.to_string_lossy())), instead))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Labels of the sections of a PEM file (RFC 7468); text outside of sections is allowed.
fn sections(bytes: &[u8]) -> Result<Vec<&str>, &'static str> {
    let mut labels = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for line in bytes.split(|&byte| byte == b'\n') {
        // Text between sections need not be UTF-8; within one, everything is ASCII.
        let line = str::from_utf8(line).unwrap_or("\u{fffd}").trim();
        let label = |mark: &str| line.strip_prefix(mark).and_then(|rest| rest.strip_suffix("-----"));
        if let Some(begun) = label("-----BEGIN ") {
            if open.is_some() {
                return Err("has a PEM section that does not end");
            }
            open = Some((begun, 0));
        } else if let Some(ended) = label("-----END ") {
            match open.take() {
                Some((begun, 1..)) if begun == ended => labels.push(begun),
                _ => return Err("has an empty or broken PEM section"),
            }
        } else if let Some((_, length)) = &mut open {
            let is_header = line.contains(':');
            let is_base64 = line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
            if !is_header && !is_base64 {
                return Err("has a PEM section that is not base64");
            }
            *length += if is_header { 0 } else { line.len() };
        }
    }
    if open.is_some() { Err("has a PEM section that does not end") } else { Ok(labels) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::error::ConfigError;
    use crate::config::testing::{CERTIFICATE, Folder, KEY};

    fn sentence(path: &Path, expected: Pem) -> String {
        ConfigError::new("certificate", check(path, expected).unwrap_err()).to_string()
    }

    #[test]
    fn certificates_and_keys_are_accepted() {
        let folder = Folder::new();
        let text = format!("subject: \u{e9}\n{CERTIFICATE}\nother\n{CERTIFICATE}").replace('\n', "\r\n");
        assert_eq!(check(&folder.file("ca", text), Pem::Certificate), Ok(()));
        assert_eq!(check(&folder.file("key", KEY), Pem::PrivateKey), Ok(()));
        assert_eq!(check(&folder.file("rsa", KEY.replace("PRIVATE", "RSA PRIVATE")), Pem::PrivateKey), Ok(()));
        assert_eq!(check(&folder.file("both", format!("{CERTIFICATE}{KEY}")), Pem::PrivateKey), Ok(()));
    }

    #[test]
    fn wrong_files_are_told_in_words() {
        let folder = Folder::new();
        let cut = CERTIFICATE.replace("-----END CERTIFICATE-----\n", "");
        let old = KEY.replace("MIGH", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIGH");
        for (path, expected, words) in [
            (folder.0.join("missing"), Pem::Certificate, "cannot be read (No such file"),
            (folder.0.clone(), Pem::Certificate, "is not a file"),
            (folder.file("key", KEY), Pem::Certificate, "holds a private key and no certificate"),
            (folder.file("cert", CERTIFICATE), Pem::PrivateKey, "holds no private key"),
            (folder.file("der", [0x30, 0x82, 0xff]), Pem::Certificate, "convert DER to PEM"),
            (folder.file("empty", ""), Pem::Certificate, "holds no certificate"),
            (folder.file("cut", cut), Pem::Certificate, "does not end"),
            (folder.file("junk", CERTIFICATE.replace("AAAA", "A A!")), Pem::Certificate, "is not base64"),
            (folder.file("pkcs8", KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")), Pem::PrivateKey, "decrypt the key"),
            (folder.file("old", old), Pem::PrivateKey, "decrypt the key"),
            (folder.file("large", vec![b'x'; 1_048_577]), Pem::Certificate, "more than 1048576 bytes"),
        ] {
            let message = sentence(&path, expected);
            assert!(message.contains(words), "{}: {message}", path.display());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in any::<Vec<u8>>(), label in "[A-Z ]{0,12}") {
            let _ = sections(&bytes);
            let mut framed = format!("-----BEGIN {label}-----\n").into_bytes();
            framed.extend(bytes);
            framed.extend(format!("\n-----END {label}-----\n").into_bytes());
            let _ = sections(&framed);
        }
    }
}
