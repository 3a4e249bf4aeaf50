//! What a blob is packed with, told by its first bytes, and the reader that unpacks it.
//!
//! gzip (RFC 1952) may hold several members, zstd (RFC 8878) several frames and skippable ones; both are read to the end
//! of the blob. Zero bytes behind the last gzip member are padding, as `gzip -d` has it; anything else there is an error.
//!
//! ```text
//! reader ─▶ pieces ─▶ gzip (framing ─▶ deflate) ─▶ bytes
//!                 └─▶ zstd (frames  ─▶ libzstd) ─▶ bytes
//! ```

pub mod budget;
pub(crate) mod chunk;
pub(crate) mod crew;
pub(crate) mod deflate;
pub(crate) mod gzip;
pub(crate) mod pieces;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod zstd;

use crate::error::{Fault, Kind};
use chunk::Reader;
use crew::Helpers;
use pieces::Own;
use std::io::{self, BufRead, Read};

/// How a blob is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// How many bytes [`recognise`] wants to see: a tar header, whose checksum is the only mark that every tar has.
pub const LOOKAHEAD_BYTES: usize = 512;

/// Why a blob is not read: it is packed with something else, or is no archive at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Nothing there.
    Empty,
    /// Packed with a program that we do not stand in for; its name.
    Other(&'static str),
    /// Neither a tar nor anything known.
    NoArchive,
}

/// Recognises a blob by its first bytes: [`LOOKAHEAD_BYTES`], or all of it where it is shorter.
pub fn recognise(start: &[u8]) -> Result<Compression, Unknown> {
    match start {
        [] => Err(Unknown::Empty),
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        _ if crate::archive::header::is_header(start) => Ok(Compression::None),
        [b'B', b'Z', b'h', ..] => Err(Unknown::Other("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Unknown::Other("xz")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(Unknown::Other("lz4")),
        [b'P', b'K', 3, 4, ..] => Err(Unknown::Other("zip")),
        _ => Err(Unknown::NoArchive),
    }
}

impl Unknown {
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Empty => Fault::layer(Kind::Truncated, "is empty")
                .hint("even a layer without entries has two blocks of zeros; was the file or pipe cut off?"),
            Self::Other(program) => Fault::layer(Kind::Unsupported, format_args!("is packed with {program}"))
                .hint(format_args!("plain tar, gzip and zstd are read; unpack it with {program} first")),
            Self::NoArchive => Fault::layer(Kind::Corrupt, "is neither a tar nor gzip nor zstd")
                .hint("a layer is a tar, plain or packed with gzip or zstd"),
        }
    }
}

/// The unpacked bytes of a blob, on the thread that reads them.
pub(crate) enum Inflate<R: BufRead> {
    None(R),
    Gzip(Box<Reader<gzip::Unpacked<Own<R>>>>),
    Zstd(Box<Reader<zstd::Frames<Own<R>>>>),
}

impl<R: BufRead> Inflate<R> {
    pub(crate) fn new(compression: Compression, reader: R) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(reader),
            Compression::Gzip => {
                Self::Gzip(Box::new(Reader::new(gzip::Unpacked::new(Own::new(reader), Helpers::None))))
            }
            Compression::Zstd => Self::Zstd(Box::new(Reader::new(zstd::Frames::new(Own::new(reader), Helpers::None)?))),
        })
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(reader) => reader.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(frames) => frames.read(buffer),
        }
    }
}

/// The unpacked bytes of a blob, checked by nothing but what the stream itself holds. Where `ahead`, cores that idle help with
/// streams that can be divided.
pub fn unpacked<'a>(compression: Compression, blob: impl BufRead + 'a, ahead: bool) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match (compression, ahead) {
        (Compression::Gzip, true) => {
            Box::new(Reader::new(gzip::Unpacked::new(Own::new(blob), Helpers::whoever_idles())))
        }
        (Compression::Zstd, true) => {
            Box::new(Reader::new(zstd::Frames::new(Own::new(blob), Helpers::whoever_idles())?))
        }
        _ => Box::new(Inflate::new(compression, blob)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(packed: &[u8]) -> io::Result<Vec<u8>> {
        let compression = recognise(&packed[..packed.len().min(LOOKAHEAD_BYTES)]).unwrap();
        let mut out = Vec::new();
        Inflate::new(compression, packed)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn reads_all_members_of_a_gzip_and_its_padding() {
        let mut packed = gzip(b"one ");
        packed.extend(gzip(b""));
        packed.extend(gzip(b"two"));
        assert_eq!(inflate(&packed).unwrap(), b"one two");
        packed.extend([0; 700]);
        assert_eq!(inflate(&packed).unwrap(), b"one two");
        packed.push(b'x');
        assert_eq!(inflate(&packed).unwrap_err().to_string(), "bytes behind the gzip stream");
    }

    #[test]
    fn reads_all_frames_of_a_zstd_and_skips_the_skippable() {
        let mut packed = vec![0x5a, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 9, 9, 9, 9];
        packed.extend(::zstd::encode_all(&b"one "[..], 1).unwrap());
        packed.extend([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
        packed.extend(::zstd::encode_all(&b"two"[..], 1).unwrap());
        assert_eq!(inflate(&packed).unwrap(), b"one two");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let packed = gzip(&[7; 5000]);
        assert_eq!(inflate(&packed[..packed.len() - 3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let packed = ::zstd::encode_all(&[7; 5000][..], 1).unwrap();
        assert_eq!(inflate(&packed[..packed.len() - 3]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_what_it_does_not_read() {
        assert_eq!(recognise(b""), Err(Unknown::Empty));
        assert_eq!(recognise(b"BZh91AY"), Err(Unknown::Other("bzip2")));
        assert_eq!(recognise(&[0xfd, b'7', b'z', b'X', b'Z', 0, 0]), Err(Unknown::Other("xz")));
        assert_eq!(recognise(b"hello"), Err(Unknown::NoArchive));
        assert_eq!(recognise(&[0; 512]), Ok(Compression::None));
    }
}
