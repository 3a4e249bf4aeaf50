//! Which machine an image is for: `os/architecture[/variant]` in Go's words (image-spec, image-index.md, "platform").

use std::fmt;
use std::str::FromStr;

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, … as Go names them.
    pub architecture: String,
    /// `v7`, `v8`, … where there are several of one architecture.
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsePlatformError(String);

impl fmt::Display for ParsePlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a platform (os/architecture or os/architecture/variant): {:?}", self.0)
    }
}

impl std::error::Error for ParsePlatformError {}

/// Go's name of an architecture that `uname -m` or Rust calls otherwise.
fn in_go(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl Platform {
    /// The machine this program was built for.
    pub fn machine() -> Self {
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: in_go(std::env::consts::ARCH).to_owned(),
            variant: None,
        }
    }

    /// Whether an image for `self` is one for `wanted`. A variant is compared only where both name one; `arm64` is `arm64/v8`.
    pub fn serves(&self, wanted: &Self) -> bool {
        let same_variant = match (&self.variant, &wanted.variant) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.os == wanted.os && in_go(&self.architecture) == in_go(&wanted.architecture) && same_variant
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match parts[..] {
            [os, architecture, ref variant @ ..] if variant.len() < 2 && parts.iter().all(plain) => Ok(Self {
                os: os.to_ascii_lowercase(),
                architecture: in_go(&architecture.to_ascii_lowercase()).to_owned(),
                variant: variant.first().map(|v| v.to_ascii_lowercase()),
            }),
            _ => Err(ParsePlatformError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_spellings_and_nothing_else() {
        let platform: Platform = "Linux/x86_64".parse().unwrap();
        assert_eq!(platform.to_string(), "linux/amd64");
        assert_eq!("linux/arm/v7".parse::<Platform>().unwrap().to_string(), "linux/arm/v7");
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_without_variant_serves_every_variant() {
        let of = |text: &str| text.parse::<Platform>().unwrap();
        assert!(of("linux/arm64").serves(&of("linux/arm64/v8")));
        assert!(!of("linux/arm/v6").serves(&of("linux/arm/v7")));
        assert!(!of("windows/amd64").serves(&of("linux/amd64")));
    }
}
