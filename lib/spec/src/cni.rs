//! The documents of the Container Network Interface: versions, the result of a plugin, its error, its arguments.
//!
//! CNI 1.1 (containernetworking/cni, SPEC.md), with the results of all versions back to 0.1.0: [`Success`] is the newest
//! shape, and is written in the version that was asked for and read in the version it names.
//!
//! - [`version`]: which versions there are
//! - [`address`]: an address with its prefix, as all versions write it
//! - [`success`]: interfaces, addresses, routes, DNS; the conversions
//! - [`failure`]: the error document and the reserved codes
//! - [`arguments`]: what `CNI_ARGS` says

pub mod address;
pub mod arguments;
pub mod failure;
pub mod success;
pub mod version;

pub use address::Cidr;
pub use arguments::Arguments;
pub use failure::Failure;
pub use success::{Dns, Interface, Ip, Route, Success};
pub use version::Version;

use serde::{Deserialize, Serialize};

/// One attachment that is still valid, as `GC` is told in `cni.dev/valid-attachments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container's id.
    #[serde(rename = "containerID")]
    pub container: String,
    /// The interface inside.
    #[serde(rename = "ifname")]
    pub interface: String,
}

/// Whether `text` can be a container's id or a network's name: a letter or digit, then letters, digits, `_`, `.`, `-`.
pub fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "0", "a_b.c-d", "A1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", ".a", "_", "a/b", "a b", "ä", "a\n"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
