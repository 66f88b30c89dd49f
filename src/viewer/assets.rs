//! The page's files: built in, or from a folder while somebody works on them.

use std::path::PathBuf;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use flate2::Compression;

use super::reply::{Failure, pack, takes_gzip};

/// Path under `ui/`, hash of the content, content; sorted by path.
static FILES: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/ui.rs"));
/// The largest file that is served from a folder, bytes.
const LARGEST: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Assets {
    folder: Option<PathBuf>,
    /// Compressed once each, in the order of [`FILES`].
    packed: Vec<OnceLock<Option<Vec<u8>>>>,
}

impl Assets {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, packed: FILES.iter().map(|_| OnceLock::new()).collect() }
    }

    /// The file at that path under `ui/`.
    pub(super) fn get(&self, path: &str, request: &HeaderMap) -> Result<Response<Body>, Failure> {
        let missing = || Failure::new(StatusCode::NOT_FOUND, "there is no such page", "begin at /");
        let kind = kind(path).ok_or_else(missing)?;
        if let Some(folder) = &self.folder {
            // Only names that could be files of ours touch the disk.
            let bytes = is_plain(path).then(|| read(&folder.join(path))).flatten().ok_or_else(missing)?;
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            return Ok(response);
        }
        let index = FILES.binary_search_by(|(name, _, _)| (*name).cmp(path)).map_err(|_| missing())?;
        let (_, hash, bytes) = FILES.get(index).ok_or_else(missing)?;
        let tag = format!("\"{hash}\"");
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let unchanged =
            known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag);
        let packed = self.packed.get(index).filter(|_| takes_gzip(request) && is_text(kind));
        let packed = packed.and_then(|once| once.get_or_init(|| pack(bytes, Compression::best())).as_ref());
        let mut response = match (unchanged, packed) {
            (true, _) => Response::new(Body::empty()),
            (false, Some(packed)) => Response::new(Body::from(packed.clone())),
            (false, None) => Response::new(Body::from(*bytes)),
        };
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        // Asked for anew each time, answered with "not modified".
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        if !unchanged && packed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }
}

fn kind(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next()?;
    Some(match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "ts" | "" => "text/plain; charset=utf-8",
        _ if name.starts_with("LICENSE") => "text/plain; charset=utf-8",
        _ => return None,
    })
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || kind == "image/svg+xml"
}

fn is_plain(path: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    path.len() < 200 && path.split('/').all(plain)
}

fn read(path: &std::path::Path) -> Option<Vec<u8>> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if found.is_file() && found.len() <= LARGEST { std::fs::read(path).ok() } else { None }
}
