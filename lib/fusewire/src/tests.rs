//! Requests of all kinds, whole, cut short and bent, through the decoder: nothing may panic.

use crate::abi;
use crate::dispatch::{Reply, answer, take_back};
use crate::filesystem::{Answer, Changes, Filesystem, Making, Opened, Span, Writing};
use crate::request::Request;
use crate::statistics::Statistics;
use crate::{Entry, Known, Listing, ListingPlus, Name};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::sync::Mutex;

/// Answers everything, and remembers what was taken back.
#[derive(Default)]
struct Yes(Mutex<Vec<(u64, u64)>>);

impl Filesystem for Yes {
    fn lookup(&self, _: &Request<'_>, _: &OsStr) -> Answer<Entry> {
        Ok(Entry { node: 77, ..Entry::default() })
    }
    fn forget(&self, node: u64, lookups: u64) {
        self.0.lock().unwrap().push((node, lookups));
    }
    fn set_attributes(&self, _: &Request<'_>, _: &Changes) -> Answer<Known> {
        Ok(Known::default())
    }
    fn rename(&self, _: &Request<'_>, name: &OsStr, to: u64, to_name: &OsStr, flags: u32) -> Answer<()> {
        assert_eq!((name, to, to_name, flags), (OsStr::new("from"), 9, OsStr::new("to"), 2));
        Ok(())
    }
    fn create(&self, _: &Request<'_>, _: &OsStr, _: &Making) -> Answer<(Entry, Opened)> {
        Ok((Entry { node: 78, ..Entry::default() }, Opened { handle: 5, flags: 0, backing: Some(3) }))
    }
    fn release(&self, node: u64, handle: u64) {
        self.0.lock().unwrap().push((node, handle + 1000));
    }
    fn read(&self, _: &Request<'_>, _: u64, _: u64, into: &mut [u8]) -> Answer<usize> {
        into.fill(1);
        Ok(into.len())
    }
    fn write(&self, _: &Request<'_>, _: u64, _: u64, data: &[u8], _: Writing) -> Answer<usize> {
        Ok(data.len())
    }
    fn list_plus(&self, _: &Request<'_>, _: u64, offset: u64, into: &mut ListingPlus<'_>) -> Answer<()> {
        let name = Name { name: OsStr::new("entry"), inode: 1, kind: 8, next: offset + 1 };
        while into.add(&name, &Entry { node: 4, ..Entry::default() }) {}
        Ok(())
    }
    fn list(&self, _: &Request<'_>, _: u64, offset: u64, into: &mut Listing<'_>) -> Answer<()> {
        let name = Name { name: OsStr::new("entry"), inode: 1, kind: 8, next: offset + 1 };
        while into.add(&name) {}
        Ok(())
    }
    fn get_xattr(&self, _: &Request<'_>, _: &OsStr, into: &mut [u8]) -> Answer<usize> {
        if let Some(room) = into.get_mut(..5) {
            room.copy_from_slice(b"value");
        }
        Ok(5)
    }
    fn copy_range(&self, _: &Request<'_>, from: Span, _: u64, _: u64) -> Answer<u64> {
        Ok(from.length)
    }
}

fn bytes(opcode: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((40 + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(opcode.to_ne_bytes());
    bytes.extend([1; 16]);
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

fn ask(fs: &Yes, request: &[u8], into: &mut [u8]) -> Option<Reply> {
    let (request, body) = Request::parse(request)?;
    Some(answer(fs, &request, body, into, &Statistics::default()))
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

#[test]
fn bodies_are_read_as_the_kernel_writes_them() {
    let fs = Yes::default();
    let mut out = [0_u8; 4096];
    let rename = [numbers(&[9, 2]), b"from\0to\0".to_vec()].concat();
    assert_eq!(ask(&fs, &bytes(abi::RENAME2, &rename), &mut out), Some(Reply::Body(0)));
    let write = [numbers(&[1, 0, 3, 0, 0]), b"abc".to_vec()].concat();
    assert_eq!(ask(&fs, &bytes(abi::WRITE, &write), &mut out), Some(Reply::Body(8)));
    assert_eq!(out[..4], 3_u32.to_ne_bytes());
    let create = [numbers(&[0, 0]), b"new\0".to_vec()].concat();
    assert_eq!(ask(&fs, &bytes(abi::CREATE, &create), &mut out), Some(Reply::Body(144)));
    assert_eq!(out[136..140], abi::open::PASSTHROUGH.to_ne_bytes());
    assert_eq!(out[140..144], 3_u32.to_ne_bytes());
    let copy = numbers(&[1, 0, 0, 2, 0, 1 << 40, 0]);
    assert_eq!(ask(&fs, &bytes(abi::COPY_FILE_RANGE, &copy), &mut out), Some(Reply::Body(8)));
    assert_eq!(out[..4], (1_u32 << 30).to_ne_bytes());
    assert_eq!(ask(&fs, &bytes(abi::COPY_FILE_RANGE_64, &copy), &mut out), Some(Reply::Body(8)));
    assert_eq!(out[..8], (1_u64 << 40).to_ne_bytes());
}

#[test]
fn sizes_of_xattrs_are_told_and_short_buffers_refused() {
    let fs = Yes::default();
    let mut out = [0_u8; 64];
    let get = |size| bytes(abi::GETXATTR, &[numbers(&[size]), b"user.a\0".to_vec()].concat());
    assert_eq!(ask(&fs, &get(0), &mut out), Some(Reply::Body(8)));
    assert_eq!(out[0], 5);
    assert_eq!(ask(&fs, &get(4), &mut out), Some(Reply::Error(Errno::RANGE)));
    assert_eq!(ask(&fs, &get(5), &mut out), Some(Reply::Body(5)));
    assert_eq!(ask(&fs, &get(1 << 31), &mut out), Some(Reply::Error(Errno::INVAL)));
}

#[test]
fn forgets_have_no_answer() {
    let fs = Yes::default();
    let batch = [2_u64, 10, 1, 11, 2];
    assert_eq!(ask(&fs, &bytes(abi::BATCH_FORGET, &numbers(&batch)), &mut []), Some(Reply::None));
    assert_eq!(ask(&fs, &bytes(abi::FORGET, &numbers(&[3])), &mut []), Some(Reply::None));
    assert_eq!(*fs.0.lock().unwrap(), [(10, 1), (11, 2), (0x0101_0101_0101_0101, 3)]);
    // More announced than sent.
    assert_eq!(ask(&fs, &bytes(abi::BATCH_FORGET, &numbers(&[u64::MAX, 1])), &mut []), Some(Reply::None));
}

#[test]
fn an_answer_nobody_takes_is_taken_back() {
    let fs = Yes::default();
    let mut out = vec![0_u8; 4096];
    let create = [numbers(&[0, 0]), b"new\0".to_vec()].concat();
    for (opcode, body) in [(abi::LOOKUP, b"a\0".to_vec()), (abi::CREATE, create)] {
        let request = bytes(opcode, &body);
        let Some(Reply::Body(length)) = ask(&fs, &request, &mut out) else { panic!("no answer to {opcode}") };
        take_back(&fs, &Request::parse(&request).unwrap().0, &out[..length]);
    }
    assert_eq!(*fs.0.lock().unwrap(), [(77, 1), (78, 1005), (78, 1)]);
}

/// A small generator of numbers (xorshift), so that a failure comes again.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn cut_and_bent_requests_are_answered_or_refused() {
    let fs = Yes::default();
    let mut out = vec![0_u8; 8192];
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..200_000_u64 {
        let opcode = (next(&mut state) % 60) as u32;
        let length = (next(&mut state) % 120) as usize;
        let mut body: Vec<u8> = (0..length).map(|_| next(&mut state) as u8 & [0, 1, 0x2f, 0xff][length % 4]).collect();
        if round % 3 == 0 {
            body.extend(b"name\0other\0");
        }
        if opcode == abi::RENAME || opcode == abi::RENAME2 {
            continue;
        }
        let mut request = bytes(opcode, &body);
        if round % 5 == 0 {
            request[36..38].copy_from_slice(&(next(&mut state) as u16).to_ne_bytes());
        }
        let Some((head, rest)) = Request::parse(&request) else { continue };
        head.supplementary_group();
        let reply = answer(&fs, &head, rest, &mut out, &Statistics::default());
        if let Reply::Body(length) = reply {
            assert!(length <= out.len());
            take_back(&fs, &head, &out[..length]);
            let noise: Vec<u8> = (0..length).map(|_| next(&mut state) as u8).collect();
            take_back(&fs, &head, &noise);
        }
    }
}
