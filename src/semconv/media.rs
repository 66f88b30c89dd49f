//! Images, sound and files inside messages: bytes become a `blob` part, addresses a `uri` part, uploads a `file` part
//! (GenAI semantic conventions, message parts). A `data:` address is bytes and has to become a `blob`.

use std::borrow::Cow;

use crate::json::Writer;
use crate::semconv::view::View;
use crate::tape::{Text, Token};

/// What a block of content refers to.
pub(super) enum Media<'a> {
    /// Bytes in the message.
    Blob { modality: Cow<'a, str>, mime: Option<Cow<'a, str>>, content: Content<'a> },
    /// Something at an address.
    Uri { modality: Cow<'a, str>, mime: Option<Cow<'a, str>>, uri: Cow<'a, str> },
    /// Something uploaded before.
    File { modality: Cow<'a, str>, mime: Option<Cow<'a, str>>, id: Cow<'a, str> },
    /// A document that is plain text (Anthropic).
    PlainText(Text<'a>),
}

/// Bytes in one of the forms in which they come.
pub(super) enum Content<'a> {
    /// Base64 already.
    Base64(Cow<'a, str>),
    /// Raw.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Media<'a> {
    /// Reads a block, or the `source`, `image_url`, `file` and the like inside it. `modality` is what the block's type
    /// says; where it is empty, or a document, the media type decides.
    pub(super) fn read(modality: &str, block: View<'a>) -> Option<Self> {
        let [source, image_url, video_url, input_audio, file, file_data, audio, image, video] = block.pick([
            "source",
            "image_url",
            "video_url",
            "input_audio",
            "file",
            "file_data",
            "audio",
            "image",
            "video",
        ]);
        let outer = Fields::read(block);
        let nested =
            [source, image_url, video_url, input_audio, file, file_data, audio, image, video].into_iter().flatten();
        for inner in nested {
            if inner.is_map() {
                let fields = Fields::read(inner).or(outer);
                if let Some(media) = fields.media(modality) {
                    return Some(media);
                }
            }
        }
        let direct = [file_data, audio, image, video].into_iter().flatten().find(|value| !value.is_map());
        let url = [image_url, video_url, source].into_iter().flatten().find(|value| value.text().is_some());
        Fields { data: outer.data.or(direct), url: outer.url.or(url), ..outer }.media(modality)
    }

    /// The `type` of the part.
    pub(super) fn part(&self) -> &'static str {
        match self {
            Self::Blob { .. } => "blob",
            Self::Uri { .. } => "uri",
            Self::File { .. } => "file",
            Self::PlainText(_) => "text",
        }
    }

    /// Appends the fields that follow the type.
    pub(super) fn write(&self, out: &mut Writer<'_>) {
        let (modality, mime) = match self {
            Self::Blob { modality, mime, .. }
            | Self::Uri { modality, mime, .. }
            | Self::File { modality, mime, .. } => (modality, mime),
            Self::PlainText(text) => {
                out.raw(",\"content\":");
                return out.text(*text);
            }
        };
        out.raw(",\"modality\":");
        out.word(modality);
        if let Some(mime) = mime {
            out.raw(",\"mime_type\":");
            out.word(mime);
        }
        match self {
            Self::Blob { content: Content::Base64(text), .. } => {
                out.raw(",\"content\":");
                out.str(text);
            }
            Self::Blob { content: Content::Bytes(bytes), .. } => {
                out.raw(",\"content\":");
                out.bytes(bytes);
            }
            Self::Uri { uri, .. } => {
                out.raw(",\"uri\":");
                out.str(uri);
            }
            Self::File { id, .. } => {
                out.raw(",\"file_id\":");
                out.str(id);
            }
            Self::PlainText(_) => {}
        }
    }
}

/// The fields by which providers say what and where the thing is.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    kind: Option<View<'a>>,
    mime: Option<View<'a>>,
    format: Option<View<'a>>,
    data: Option<View<'a>>,
    url: Option<View<'a>>,
    file_id: Option<View<'a>>,
    /// The thing itself, where it is plain text.
    text: Option<Text<'a>>,
}

impl<'a> Fields<'a> {
    fn read(block: View<'a>) -> Self {
        let [media_type, mime_type, mime_camel, image_mime, document_mime, video_mime] = block.pick([
            "media_type",
            "mime_type",
            "mimeType",
            "image_mimetype",
            "document_mimetype",
            "video_mimetype",
        ]);
        let [data, base64, bytes, file_data] = block.pick(["data", "base64", "bytes", "file_data"]);
        let [url, uri, file_uri, uri_camel, hosted, path] =
            block.pick(["url", "uri", "file_uri", "fileUri", "file_url", "path"]);
        let [kind, source_type, format, file_id, id, text] =
            block.pick(["type", "source_type", "format", "file_id", "id", "text"]);
        let [bucket, bucket_snake] = block.pick(["s3Location", "s3_location"]);
        let stored = bucket.or(bucket_snake).and_then(|place| place.get("uri"));
        let by_id = source_type.is_some_and(|kind| kind.str().as_deref() == Some("id"));
        Self {
            kind,
            mime: media_type.or(mime_type).or(mime_camel).or(image_mime).or(document_mime).or(video_mime),
            format,
            data: data.or(base64).or(bytes).or(file_data).filter(|data| !data.is_empty() && !data.is_map()),
            url: url.or(uri).or(file_uri).or(uri_camel).or(hosted).or(path).or(stored).filter(|url| !url.is_empty()),
            file_id: file_id.or(id.filter(|_| by_id)),
            text: text.and_then(View::text),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            kind: self.kind,
            mime: self.mime.or(other.mime),
            format: self.format.or(other.format),
            data: self.data,
            url: self.url,
            file_id: self.file_id,
            text: self.text,
        }
    }

    fn media(self, modality: &str) -> Option<Media<'a>> {
        let mime = self.mime.and_then(View::str).or_else(|| mime_of_format(modality, self.format?.str()?));
        let modality_of = |mime: Option<&str>| Cow::Owned(modality_of(modality, mime).to_owned());
        if let Some(data) = self.data {
            let content = match data.token()? {
                Token::Bytes(bytes) => match as_base64(bytes) {
                    Some(text) => Content::Base64(Cow::Borrowed(text)),
                    None => Content::Bytes(Cow::Borrowed(bytes)),
                },
                Token::Text(text) => {
                    if self.kind.and_then(View::str).as_deref() == Some("text") {
                        return Some(Media::PlainText(text));
                    }
                    let text = text.to_str();
                    if text.starts_with("data:") {
                        return Some(from_data_url(modality, text));
                    }
                    Content::Base64(text)
                }
                _ => return None,
            };
            return Some(Media::Blob { modality: modality_of(mime.as_deref()), mime, content });
        }
        if let Some(url) = self.url.and_then(View::str) {
            if url.starts_with("data:") {
                return Some(from_data_url(modality, url));
            }
            return Some(Media::Uri { modality: modality_of(mime.as_deref()), mime, uri: url });
        }
        if let Some(text) = self.text {
            return Some(Media::PlainText(text));
        }
        let id = self.file_id?.str()?;
        Some(Media::File { modality: modality_of(mime.as_deref()), mime, id })
    }
}

fn modality_of<'m>(stated: &'m str, mime: Option<&'m str>) -> &'m str {
    if !matches!(stated, "" | "document") {
        return stated;
    }
    match mime.and_then(|mime| mime.split('/').next()) {
        Some(family @ ("image" | "audio" | "video")) => family,
        _ => "document",
    }
}

/// `png` beside an image means `image/png`. A format that has a slash is a media type already.
fn mime_of_format<'a>(modality: &str, format: Cow<'a, str>) -> Option<Cow<'a, str>> {
    if format.contains('/') {
        return Some(format);
    }
    if matches!(modality, "image" | "audio" | "video") {
        return Some(Cow::Owned(format!("{modality}/{format}")));
    }
    // Documents of Bedrock's Converse API.
    Some(Cow::Borrowed(match &*format {
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" => "text/html",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => return None,
    }))
}

/// Bytes that are base64 text already: LlamaIndex keeps images so.
fn as_base64(bytes: &[u8]) -> Option<&str> {
    let letters = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    let is_base64 = bytes.len() >= 4
        && bytes.len().is_multiple_of(4)
        && letters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    std::str::from_utf8(bytes).ok().filter(|_| is_base64)
}

/// A `data:` address (RFC 2397) as bytes.
fn from_data_url<'a>(modality: &str, url: Cow<'a, str>) -> Media<'a> {
    let Some((head, body)) = url.split_once(',') else {
        return Media::Uri { modality: Cow::Owned(modality_of(modality, None).to_owned()), mime: None, uri: url };
    };
    let parameters = head.strip_prefix("data:").unwrap_or(head);
    let (mime, is_base64) = match parameters.strip_suffix(";base64") {
        Some(mime) => (mime, true),
        None => (parameters, false),
    };
    let mime = mime.split(';').next().filter(|mime| !mime.is_empty()).map(|mime| Cow::Owned(mime.to_owned()));
    let modality = Cow::Owned(modality_of(modality, mime.as_deref()).to_owned());
    let content = if is_base64 {
        match &url {
            Cow::Borrowed(url) => Content::Base64(Cow::Borrowed(url.get(head.len() + 1..).unwrap_or_default())),
            Cow::Owned(_) => Content::Base64(Cow::Owned(body.to_owned())),
        }
    } else {
        Content::Bytes(Cow::Owned(percent_decoded(body)))
    };
    Media::Blob { modality, mime, content }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.first_chunk::<2>().filter(|_| byte == b'%').and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    out
}
