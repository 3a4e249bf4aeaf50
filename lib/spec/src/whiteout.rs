//! How a layer says that something of the layers below is gone (image-spec, layer.md, "Whiteouts").
//!
//! In a tar: an empty file `.wh.NAME` hides NAME, and `.wh..wh..opq` hides everything the layers below have in that
//! directory. In an overlay (Documentation/filesystems/overlayfs.rst): a character device 0:0 named NAME, and the
//! xattr `trusted.overlay.opaque` = `y` on the directory (`user.overlay.opaque` with the mount option `userxattr`).

/// What the name of a tar entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// An ordinary entry.
    Plain(&'a [u8]),
    /// `.wh.NAME`: NAME of the layers below is gone.
    Whiteout(&'a [u8]),
    /// `.wh..wh..opq`: all the layers below have in this directory is gone.
    Opaque,
    /// Other `.wh..wh.` names: AUFS's own book-keeping (`.wh..wh.plnk`, `.wh..wh.aufs`), to be skipped.
    Reserved,
}

/// Prefix of a whiteout's name.
pub const PREFIX: &[u8] = b".wh.";
/// Name of the entry that makes a directory opaque.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// Reads the last component of an entry's name. `.wh.` alone, `.wh..` and `.wh...` name nothing and are reserved too.
pub fn parse_name(name: &[u8]) -> Name<'_> {
    if name == OPAQUE {
        return Name::Opaque;
    }
    match name.strip_prefix(PREFIX) {
        None => Name::Plain(name),
        Some(rest) if rest.starts_with(PREFIX) => Name::Reserved,
        Some(b"" | b"." | b"..") => Name::Reserved,
        Some(rest) => Name::Whiteout(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_four_apart() {
        assert_eq!(parse_name(b"etc"), Name::Plain(b"etc"));
        assert_eq!(parse_name(b".wh.etc"), Name::Whiteout(b"etc"));
        assert_eq!(parse_name(b".wh..wh..opq"), Name::Opaque);
        for reserved in [&b".wh."[..], b".wh..", b".wh...", b".wh..wh.plnk", b".wh..wh."] {
            assert_eq!(parse_name(reserved), Name::Reserved);
        }
    }
}
