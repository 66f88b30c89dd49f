//! Compression of request bodies and, where a receiver compresses its answer unasked, bounded decompression.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::config::Compression;

/// The name of a compression in `Content-Encoding` and `grpc-encoding`.
pub(super) fn encoding_name(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    }
}

/// Compresses a body, at the fastest level: spans are text, which the first level shrinks nearly as far as the others
/// at a fraction of their time.
///
/// # Errors
///
/// zstd refuses, or is not built in.
pub(super) fn compress(body: Vec<u8>, compression: Compression) -> io::Result<Bytes> {
    match compression {
        Compression::None => Ok(body.into()),
        Compression::Gzip => {
            let room = Vec::with_capacity(body.len() / 4 + 64);
            let mut encoder = GzEncoder::new(room, flate2::Compression::fast());
            encoder.write_all(&body)?;
            encoder.finish().map(Bytes::from)
        }
        Compression::Zstd => zstd(&body),
    }
}

#[cfg(feature = "zstd")]
fn zstd(body: &[u8]) -> io::Result<Bytes> {
    zstd::bulk::compress(body, 1).map(Bytes::from)
}

#[cfg(not(feature = "zstd"))]
fn zstd(_: &[u8]) -> io::Result<Bytes> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether this build can compress so.
pub(super) fn is_built_in(compression: Compression) -> bool {
    compression != Compression::Zstd || cfg!(feature = "zstd")
}

/// The content of a gzip body; `None` when it is more than `limit` bytes.
///
/// # Errors
///
/// The bytes are no gzip stream.
pub(super) fn gunzip(body: &[u8], limit: usize) -> io::Result<Option<Bytes>> {
    let mut out = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body).take(most).read_to_end(&mut out)?;
    Ok((out.len() <= limit).then(|| out.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests: a failure here is the finding")]
mod tests {
    use super::*;

    #[test]
    fn gzip_comes_back_and_a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0; 1_000_000];
        let packed = compress(zeros.clone(), Compression::Gzip).unwrap();
        assert!(packed.len() < 10_000);
        assert_eq!(gunzip(&packed, 1_000_000).unwrap().unwrap(), zeros);
        assert_eq!(gunzip(&packed, 999_999).unwrap(), None);
        assert!(gunzip(b"no gzip", 10).is_err());
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_comes_back() {
        let text = b"spans spans spans spans".repeat(100);
        let packed = compress(text.clone(), Compression::Zstd).unwrap();
        assert!(packed.len() < text.len());
        assert_eq!(zstd::bulk::decompress(&packed, text.len()).unwrap(), text);
    }
}
