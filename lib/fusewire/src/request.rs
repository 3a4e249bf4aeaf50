//! A request's head: `struct fuse_in_header`, and what newer kernels append to a request.

use crate::abi;
use crate::wire::Reader;

/// Who asks, and about what.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The operation's number ([`crate::abi`]).
    pub opcode: u32,
    /// The request's own number.
    pub unique: u64,
    /// The node it is about; for operations on names the directory.
    pub node: u64,
    /// The caller's file system user id.
    pub uid: u32,
    /// The caller's file system group id.
    pub gid: u32,
    /// The caller's thread, as seen from the process that mounted; 0 where the kernel itself asks.
    pub pid: u32,
    extensions: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes head and extensions off; gives what is between. `None`: this is no request.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<(Self, Reader<'a>)> {
        let mut head = Reader(bytes);
        let length = head.u32()? as usize;
        if length != bytes.len() {
            return None;
        }
        let (opcode, unique, node) = (head.u32()?, head.u64()?, head.u64()?);
        let (uid, gid, pid) = (head.u32()?, head.u32()?, head.u32()?);
        let extended = usize::from(head.u16()?) * 8;
        head.skip(2)?;
        let (body, extensions) = head.0.split_at_checked(head.0.len().checked_sub(extended)?)?;
        Some((Self { opcode, unique, node, uid, gid, pid, extensions }, Reader(body)))
    }

    /// The directory's group, where the caller has it only as a supplementary one (`FUSE_CREATE_SUPP_GROUP`).
    pub fn supplementary_group(&self) -> Option<u32> {
        let mut rest = Reader(self.extensions);
        loop {
            let (size, kind) = (rest.u32()? as usize, rest.u32()?);
            let mut body = Reader(rest.bytes(size.checked_sub(8)?)?);
            if kind == abi::EXTENSION_GROUPS {
                let count = body.u32()?;
                return if count == 0 { None } else { body.u32() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &[u8], extensions: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(((40 + body.len() + extensions.len()) as u32).to_ne_bytes());
        bytes.extend(abi::MKDIR.to_ne_bytes());
        bytes.extend([0; 28]);
        bytes.extend(((extensions.len() / 8) as u16).to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(body);
        bytes.extend(extensions);
        bytes
    }

    #[test]
    fn a_supplementary_group_is_found() {
        let group: Vec<u8> = [16_u32, 32, 1, 4711].iter().flat_map(|n| n.to_ne_bytes()).collect();
        let bytes = request(b"name\0\0\0\0", &group);
        let (head, body) = Request::parse(&bytes).unwrap();
        assert_eq!(head.supplementary_group(), Some(4711));
        assert_eq!(body.0, b"name\0\0\0\0");
    }

    #[test]
    fn odd_extensions_are_no_group() {
        for numbers in [[0_u32, 32, 1, 1], [7, 32, 1, 1], [900, 32, 1, 1], [16, 32, 0, 1], [16, 5, 1, 1]] {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
            let bytes = request(b"", &bytes);
            assert_eq!(Request::parse(&bytes).unwrap().0.supplementary_group(), None, "{numbers:?}");
        }
    }

    #[test]
    fn a_length_that_is_not_the_requests_is_refused() {
        let mut bytes = request(b"name\0", b"");
        bytes.push(0);
        assert!(Request::parse(&bytes).is_none());
        assert!(Request::parse(&bytes[..39]).is_none());
    }
}
