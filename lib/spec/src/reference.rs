//! Names of images: `[domain/]path[:tag][@digest]`, read as docker reads them (github.com/distribution/reference).
//!
//! `debian:12` is short for `docker.io/library/debian:12`. The first component is a domain only if it holds a dot or a
//! colon, is `localhost`, or has upper-case letters. The full form is what the store writes down; the familiar form is
//! what people see.

use crate::Digest;
use std::fmt;
use std::str::FromStr;

/// A parsed and normalised name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image; the words are docker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseReferenceError {
    /// The repository has upper-case letters.
    Uppercase(String),
    /// 64 hexadecimal digits are an id, never a name.
    LooksLikeId(String),
    /// The repository with its domain has more than 255 bytes.
    TooLong,
    /// Anything else.
    Malformed,
}

impl fmt::Display for ParseReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uppercase(path) => write!(f, "invalid reference format: repository name ({path}) must be lowercase"),
            Self::LooksLikeId(text) => {
                write!(f, "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
            }
            Self::TooLong => {
                f.write_str("invalid reference format: repository name must not be more than 255 characters")
            }
            Self::Malformed => f.write_str("invalid reference format"),
        }
    }
}

impl std::error::Error for ParseReferenceError {}

const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_PREFIX: &str = "library/";
/// The tag that is meant when none is written.
pub const DEFAULT_TAG: &str = "latest";

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| ParseReferenceError::Malformed)?)),
            None => (text, None),
        };
        let (domain, rest) = split_domain(rest);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path = match domain {
            DEFAULT_DOMAIN if !path.contains('/') => format!("{DEFAULT_PREFIX}{path}"),
            _ => path.to_owned(),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ParseReferenceError::Uppercase(path));
        }
        if !is_domain(domain) || !is_path(&path) || !tag.is_none_or(is_tag) {
            return Err(ParseReferenceError::Malformed);
        }
        if domain.len() + 1 + path.len() > 255 {
            return Err(ParseReferenceError::TooLong);
        }
        Ok(Self { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }
}

/// Splits the domain off, as docker tells it from the first component of a path.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if !port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|part| {
        let bytes = part.as_bytes();
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    })
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_component)
}

/// Runs of `a-z0-9`, between them one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let plain = |b: char| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text;
    loop {
        let run = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        if run == 0 {
            return false;
        }
        rest = &rest[run..];
        if rest.is_empty() {
            return true;
        }
        let gap = rest.find(plain).unwrap_or(rest.len());
        let between = &rest[..gap];
        if !matches!(between, "." | "_" | "__") && !between.bytes().all(|b| b == b'-') {
            return false;
        }
        rest = &rest[gap..];
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = text.bytes();
    text.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

impl Reference {
    /// The repository in full, without tag and digest: `docker.io/library/debian`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as people write it: `debian`.
    pub fn familiar_repository(&self) -> String {
        match self.domain.as_str() {
            DEFAULT_DOMAIN => match self.path.strip_prefix(DEFAULT_PREFIX) {
                Some(short) if !short.contains('/') => short.to_owned(),
                _ => self.path.clone(),
            },
            _ => self.repository(),
        }
    }

    /// The whole name as people write it: `debian:12`.
    pub fn familiar(&self) -> String {
        self.behind(self.familiar_repository())
    }

    /// The registry's domain: `docker.io`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path below the domain: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one is written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if one is written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same with the tag `latest` where neither tag nor digest is written.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository and tag without the digest.
    #[must_use]
    pub fn without_digest(mut self) -> Self {
        self.digest = None;
        self
    }

    fn behind(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

/// The full form: `docker.io/library/debian:12`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.behind(self.repository()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|e| format!("! {e}"), |r| r.with_default_tag().to_string())
    }

    #[test]
    fn normalises_as_docker_does() {
        let digest = Digest::of(b"");
        for (text, want) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("library/debian", "docker.io/library/debian:latest"),
            ("index.docker.io/debian", "docker.io/library/debian:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest"),
            ("me/app:v1", "docker.io/me/app:v1"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b_c--d.e:T_1.x-y", "localhost:5000/a/b_c--d.e:T_1.x-y"),
            ("Quay/app", "Quay/app:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("xn--n3h.com/app", "xn--n3h.com/app:latest"),
        ] {
            assert_eq!(full(text), want, "{text}");
        }
        assert_eq!(full(&format!("debian@{digest}")), format!("docker.io/library/debian@{digest}"));
        assert_eq!(full(&format!("debian:12@{digest}")), format!("docker.io/library/debian:12@{digest}"));
    }

    #[test]
    fn shows_people_the_short_form() {
        for text in ["debian:12", "me/app:v1", "localhost:5000/app:v1", "quay.io/a/b:c"] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), text);
        }
        assert_eq!("docker.io/library/debian".parse::<Reference>().unwrap().familiar_repository(), "debian");
    }

    #[test]
    fn refuses_with_dockers_words() {
        for (text, path) in [("Debian:12", "library/Debian"), ("BAD NAME", "library/BAD NAME")] {
            assert_eq!(full(text), format!("! invalid reference format: repository name ({path}) must be lowercase"));
        }
        for bad in
            ["", ":12", "a b", "a:", "a:-x", "a//b", "a/", "/a", "-a", "a_", "a___b", "a..b", "a@sha256:12", "a:b:c"]
        {
            assert_eq!(full(bad), "! invalid reference format", "{bad:?}");
        }
        assert_eq!(
            full(&"a".repeat(250)),
            "! invalid reference format: repository name must not be more than 255 characters"
        );
        let id = "0".repeat(64);
        assert!(full(&id).contains("cannot specify 64-byte hexadecimal strings"));
        assert!(full(&format!("a:{}", "t".repeat(129))).starts_with("! invalid reference format"));
    }
}
