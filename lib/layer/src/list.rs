//! What is in a layer, told entry by entry while it is read, and checked as if it were unpacked. Nothing is written.

use crate::archive::{Archive, Entry};
use crate::error::{Fault, Kind, Result};
use crate::extract::{Expected, resolve};
use crate::pipeline::{self, Known, Watch};
use crate::select::Select;
use spec::whiteout::{self, Name};
use spec::{DiffId, Digest};
use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

/// An entry in its layer.
#[derive(Debug)]
pub struct Listed<'a> {
    /// What its headers say.
    pub entry: &'a Entry,
    /// Where in the tar, unpacked, its data begins.
    pub offset: u64,
    /// What of the layers below it hides, if it is a whiteout.
    pub hides: Option<Hides>,
}

/// What a whiteout hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hides {
    /// This path.
    Path(Vec<u8>),
    /// All the layers below have in this directory; empty for the root.
    ContentsOf(Vec<u8>),
}

/// What a caller wants to have listed and to hear of.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Which entries; all without it.
    pub select: Option<&'a Select>,
    /// Called with the number of bytes of the blob just read, from a thread of ours.
    pub on_progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Set to true by whoever wants it to stop; the error then is [`Kind::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("select", &self.select).finish_non_exhaustive()
    }
}

/// What a layer turned out to be.
#[derive(Debug, Clone, Copy)]
pub struct Sums {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar in it.
    pub diff_id: DiffId,
    /// Bytes of the blob.
    pub blob_bytes: u64,
    /// Bytes of the tar.
    pub tar_bytes: u64,
}

/// Tells `each` the entries of the layer `blob`, in the order they come. [`ControlFlow::Break`] ends it with
/// [`Kind::Cancelled`]. That the blob is the one that was `expected` is known at its end only, so an error may follow on
/// entries that have been told.
pub fn list_layer(
    blob: impl Read + Send,
    expected: &Expected,
    options: &Options<'_>,
    mut each: impl FnMut(&Listed<'_>) -> ControlFlow<()>,
) -> Result<Sums> {
    let known = Known { digest: expected.digest, diff_id: expected.diff_id, size_bytes: expected.size_bytes };
    let watch = Watch { on_progress: options.on_progress, cancel: options.cancel, stop: None };
    let ((), sums) = pipeline::run(blob, &known, watch, |chunks| {
        let mut archive = Archive::new(chunks);
        while let Some(entry) = archive.next()? {
            // What climbs out of the layer has no path in it. It is shown all the same: that is what lists are read for.
            let path = resolve::normalise(&entry.path).unwrap_or_else(|| entry.path.clone());
            if options.select.is_some_and(|select| !select.takes(&path)) {
                continue;
            }
            let listed = Listed { entry: &entry, offset: archive.position(), hides: hides(&path) };
            if each(&listed).is_break() {
                return Err(Fault::layer(Kind::Cancelled, "nobody reads on"));
            }
        }
        Ok(())
    })
    .map_err(|fault| fault.in_layer(&expected.name))?;
    let pipeline::Sums { digest, diff_id, blob_bytes, tar_bytes } = sums;
    Ok(Sums { digest, diff_id, blob_bytes, tar_bytes })
}

fn hides(path: &[u8]) -> Option<Hides> {
    let at = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    let (parent, last) = path.split_at(at);
    match whiteout::parse_name(last) {
        Name::Opaque => Some(Hides::ContentsOf(parent.strip_suffix(b"/").unwrap_or(parent).to_vec())),
        Name::Whiteout(name) => Some(Hides::Path([parent, name].concat())),
        Name::Plain(_) | Name::Reserved => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn tells_entries_whiteouts_and_sums() {
        let tar = tar(&["etc/a", "etc/.wh.b", "etc/.wh..wh..opq", ".wh.c"]);
        let mut seen = Vec::new();
        let sums = list_layer(&tar[..], &Expected::named("l"), &Options::default(), |listed| {
            seen.push((String::from_utf8_lossy(&listed.entry.path).into_owned(), listed.offset, listed.hides.clone()));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(sums.digest, Digest::of(&tar));
        assert_eq!(seen[0], ("etc/a".into(), 512, None));
        assert_eq!(seen[1], ("etc/.wh.b".into(), 1536, Some(Hides::Path(b"etc/b".to_vec()))));
        assert_eq!(seen[2].2, Some(Hides::ContentsOf(b"etc".to_vec())));
        assert_eq!(seen[3].2, Some(Hides::Path(b"c".to_vec())));
    }

    #[test]
    fn stops_where_told_and_checks_where_not() {
        let tar = tar(&["a", "b", "c"]);
        let mut count = 0;
        let error = list_layer(&tar[..], &Expected::named("l"), &Options::default(), |_| {
            count += 1;
            if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_err();
        assert_eq!((error.kind, count), (Kind::Cancelled, 2));
        let expected = Expected { digest: Some(Digest::of(b"other")), ..Expected::named("l") };
        let error = list_layer(&tar[..], &expected, &Options::default(), |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind, Kind::Digest);
    }
}
