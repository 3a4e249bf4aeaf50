//! Messages of the domain name system on the wire (RFC 1035, 4; EDNS: RFC 6891), as far as a server of a few names needs
//! them: queries are read, answers of our own written, answers of others passed on with another id.
//!
//! ```text
//!   id 2 | flags 2 | questions 2 | answers 2 | authorities 2 | additional 2 | question … | records …
//!   flags: QR 1 · opcode 4 · AA TC RD · RA Z AD CD · rcode 4
//! ```
//!
//! Written by hand: what is needed is one question in, and records behind a pointer to it out. No name in a query is
//! followed anywhere, so there are no loops to fall into; everything is read with bounds, nothing panics.

use crate::dns::name::Name;
use std::net::IpAddr;

/// The header.
const HEADER: usize = 12;
/// What a client takes by UDP that says nothing of it.
pub(crate) const PLAIN_BYTES: usize = 512;
/// The most we send by UDP, whatever the client takes; and what we say we take.
pub(crate) const DATAGRAM_BYTES: usize = 4096;
/// The most a message has by TCP.
pub(crate) const STREAM_BYTES: usize = 65535;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const CD: u16 = 0x0010;
const RCODE: u16 = 0x000f;

/// Kinds of records.
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const DS: u16 = 43;
    pub(crate) const DNSKEY: u16 = 48;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const MAILA: u16 = 254;
    pub(crate) const ANY: u16 = 255;
}

/// The class of the Internet.
pub(crate) const INTERNET: u16 = 1;

/// How an answer turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rcode {
    /// The name is there (and perhaps nothing of the kind that was asked for).
    NoError = 0,
    /// The question cannot be read.
    FormErr = 1,
    /// It could not be found out; other servers may know.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// This is not done here.
    NotImp = 4,
    /// This is not done for you.
    Refused = 5,
    /// A version of EDNS that is not known.
    BadVers = 16,
}

/// What is in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// PTR.
    Pointer(Name),
}

/// What a client says of itself in an OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edns {
    takes_bytes: u16,
    version: u8,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: u16,
    flags: u16,
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    /// The name as it was spelled, kind and class.
    question: Vec<u8>,
    edns: Option<Edns>,
}

/// Why a message is no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoQuery {
    /// Too short to answer, or an answer itself.
    Ignore,
    /// To be answered with this.
    Answer(Vec<u8>),
}

impl Query {
    /// Reads a query.
    pub(crate) fn read(message: &[u8]) -> Result<Self, NoQuery> {
        let half = |at: usize| number(message, at).ok_or(NoQuery::Ignore);
        let (id, flags) = (half(0)?, half(2)?);
        let counts = [half(4)?, half(6)?, half(8)?, half(10)?];
        if flags & QR != 0 {
            return Err(NoQuery::Ignore);
        }
        let refuse = |rcode| NoQuery::Answer(header(id, flags, rcode, [0; 4]).to_vec());
        if flags & OPCODE != 0 {
            return Err(refuse(Rcode::NotImp));
        }
        let wrong = || refuse(Rcode::FormErr);
        if counts[0] != 1 {
            return Err(wrong());
        }
        let (name, at) = Name::read(message, HEADER).ok_or_else(wrong)?;
        let (kind, class) = (number(message, at).ok_or_else(wrong)?, number(message, at + 2).ok_or_else(wrong)?);
        let end = at + 4;
        let question = message.get(HEADER..end).ok_or_else(wrong)?.to_vec();
        let records = counts[1..].iter().map(|n| usize::from(*n)).sum();
        let edns = find_edns(message, end, records).map_err(|()| wrong())?;
        Ok(Self { id, flags, name, kind, class, question, edns })
    }

    /// How many bytes an answer by UDP may have.
    pub(crate) fn datagram_bytes(&self) -> usize {
        let takes = self.edns.map_or(PLAIN_BYTES, |edns| usize::from(edns.takes_bytes));
        takes.clamp(PLAIN_BYTES, DATAGRAM_BYTES)
    }

    /// Whether it speaks a version of EDNS that does not exist.
    pub(crate) fn is_of_the_future(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version > 0)
    }

    /// Whether `message` is an answer to this, when it was asked with `id`.
    pub(crate) fn is_answered_by(&self, message: &[u8], id: u16) -> bool {
        number(message, 0) == Some(id)
            && number(message, 2).is_some_and(|flags| flags & QR != 0)
            && number(message, 4) == Some(1)
            && message
                .get(HEADER..HEADER + self.question.len())
                .is_some_and(|question| question.eq_ignore_ascii_case(&self.question))
    }

    /// An answer of `bytes` at most. What does not fit is left out, and TC says so.
    pub(crate) fn answer(&self, rcode: Rcode, records: &[Record], bytes: usize) -> Vec<u8> {
        let opt = if self.edns.is_some() { opt(rcode) } else { Vec::new() };
        let mut message = vec![0; HEADER];
        message.extend_from_slice(&self.question);
        let mut count = 0_u16;
        for record in records {
            let before = message.len();
            write(&mut message, record);
            if message.len() + opt.len() > bytes || count == u16::MAX {
                message.truncate(before);
                break;
            }
            count += 1;
        }
        message.extend_from_slice(&opt);
        let cut = if usize::from(count) < records.len() { TC } else { 0 };
        let counts = [1, count, 0, u16::from(self.edns.is_some())];
        let authority = if matches!(rcode, Rcode::NoError | Rcode::NxDomain) { AA } else { 0 };
        message[..HEADER].copy_from_slice(&header(self.id, self.flags | cut | authority, rcode, counts));
        message
    }

    /// An answer somebody else gave, for this client: with the id it asked with, and within `bytes`.
    pub(crate) fn pass_on(&self, mut message: Vec<u8>, bytes: usize) -> Vec<u8> {
        if message.len() > bytes {
            let flags = number(&message, 2).unwrap_or(QR) | TC;
            let opt = if self.edns.is_some() { opt(Rcode::NoError) } else { Vec::new() };
            message.truncate(HEADER + self.question.len());
            message[2..4].copy_from_slice(&flags.to_be_bytes());
            message[6..HEADER].copy_from_slice(&[0, 0, 0, 0, 0, u8::from(!opt.is_empty())]);
            message.extend_from_slice(&opt);
        }
        message[..2].copy_from_slice(&self.id.to_be_bytes());
        message
    }
}

/// Writes another id into a message.
pub(crate) fn set_id(message: &mut [u8], id: u16) {
    if let Some(place) = message.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// Whether an answer says that its server would not or could not; another one may.
pub(crate) fn is_of_no_use(message: &[u8]) -> bool {
    let rcode = number(message, 2).unwrap_or(0) & RCODE;
    [Rcode::ServFail, Rcode::NotImp, Rcode::Refused].iter().any(|r| *r as u16 == rcode)
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// The header of an answer to a query with these flags; TC and AA among them are kept.
fn header(id: u16, flags: u16, rcode: Rcode, counts: [u16; 4]) -> [u8; HEADER] {
    let flags = QR | RA | flags & (OPCODE | AA | TC | RD | CD) | rcode as u16 & RCODE;
    let mut bytes = [0; HEADER];
    for (place, number) in bytes.chunks_exact_mut(2).zip([id, flags].iter().chain(&counts)) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Our own OPT record. The upper bits of the rcode stand in what is a time to live elsewhere.
fn opt(rcode: Rcode) -> Vec<u8> {
    let mut record = vec![0];
    record.extend_from_slice(&kind::OPT.to_be_bytes());
    record.extend_from_slice(&(DATAGRAM_BYTES as u16).to_be_bytes());
    record.extend_from_slice(&[(rcode as u16 >> 4) as u8, 0, 0, 0, 0, 0]);
    record
}

/// A record whose name is the question's. Its time to live is 0: addresses are given to others soon after.
fn write(message: &mut Vec<u8>, record: &Record) {
    const QUESTION: [u8; 2] = [0xc0, HEADER as u8];
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(address)) => (kind::A, address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) => (kind::AAAA, address.octets().to_vec()),
        Record::Pointer(name) => (kind::PTR, name.wire().to_vec()),
    };
    message.extend_from_slice(&QUESTION);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&INTERNET.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&(data.len() as u16).to_be_bytes());
    message.extend_from_slice(&data);
}

/// The OPT record among `records` that begin at `at`. Names are passed over, not followed. The counts of a header may
/// promise more than there is: each round takes eleven bytes at least, so the message's end bounds them.
fn find_edns(message: &[u8], mut at: usize, records: usize) -> Result<Option<Edns>, ()> {
    let mut found = None;
    for _ in 0..records {
        let root = message.get(at) == Some(&0);
        at = skip_name(message, at).ok_or(())?;
        let field = |offset: usize| number(message, at + offset).ok_or(());
        let (kind, class, length) = (field(0)?, field(2)?, usize::from(field(8)?));
        if kind == kind::OPT {
            if found.is_some() || !root {
                return Err(());
            }
            found = Some(Edns { takes_bytes: class, version: *message.get(at + 5).ok_or(())? });
        }
        at += 10 + length;
        if at > message.len() {
            return Err(());
        }
    }
    Ok(found)
}

/// Where the name at `at` ends; a pointer is its end.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192.. => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{NoQuery, Query, Rcode, Record, kind, number};
    use crate::dns::name::Name;

    /// A query as a resolver writes it.
    pub(crate) fn query(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
        let name: Vec<u8> = match name {
            "" => vec![0],
            name => {
                name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).chain([0]).collect()
            }
        };
        message.extend_from_slice(&name);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        if let Some(bytes) = edns {
            message.extend_from_slice(&[0, 0, 41]);
            message.extend_from_slice(&bytes.to_be_bytes());
            message.extend_from_slice(&[0; 6]);
        }
        message
    }

    #[test]
    fn a_query_is_read() {
        let read = Query::read(&query("Db.Web", kind::A, None)).unwrap();
        assert_eq!((read.id, read.kind, read.class, read.datagram_bytes()), (0x1234, 1, 1, 512));
        assert_eq!(Some(read.name), Name::parse("db.web"));
        let bytes = |size| Query::read(&query("db", kind::A, Some(size))).unwrap().datagram_bytes();
        assert_eq!([bytes(0), bytes(512), bytes(1232), bytes(65535)], [512, 512, 1232, 4096]);
        assert!(Query::read(&query("", kind::NS, None)).is_ok(), "the root is a name");
    }

    #[test]
    fn what_is_no_query_is_answered_or_ignored() {
        let whole = query("db", kind::A, Some(1232));
        for end in 0..whole.len() {
            match Query::read(&whole[..end]) {
                Err(NoQuery::Ignore) => assert!(end < 12),
                Err(NoQuery::Answer(answer)) => assert_eq!((answer.len(), answer[3] & 15), (12, 1), "{end}"),
                Ok(_) => panic!("cut at {end} it is a query"),
            }
        }
        let changed = |at: usize, to: u8| {
            let mut message = whole.clone();
            message[at] = to;
            Query::read(&message)
        };
        assert_eq!(changed(2, 0x81), Err(NoQuery::Ignore), "an answer");
        let rcode = |read: Result<Query, NoQuery>| match read {
            Err(NoQuery::Answer(answer)) => answer[3] & 15,
            other => panic!("{other:?}"),
        };
        assert_eq!(rcode(changed(2, 0x29)), 4, "an update");
        assert_eq!(rcode(changed(5, 2)), 1, "two questions");
        assert_eq!(rcode(changed(5, 0)), 1, "no question");
        assert_eq!(rcode(changed(10, 0xff)), 1, "more records than there are");
        assert_eq!(rcode(changed(12, 0xc0)), 1, "a compressed question");
        assert!(changed(26, 9).is_ok_and(|q| q.is_of_the_future()));
    }

    #[test]
    fn answers_fit_and_say_when_they_do_not() {
        let addresses: Vec<Record> = (0..100).map(|n| Record::Address([10, 9, 0, n].into())).collect();
        for (edns, tcp) in [(None, false), (Some(1232), false), (Some(4096), false), (None, true)] {
            let read = Query::read(&query("db", kind::A, edns)).unwrap();
            let bytes = if tcp { 65535 } else { read.datagram_bytes() };
            let answer = read.answer(Rcode::NoError, &addresses, bytes);
            assert!(answer.len() <= bytes);
            let count = usize::from(number(&answer, 6).unwrap());
            assert_eq!(answer[2] & 2 != 0, count < 100, "TC where something is missing");
            assert_eq!(count == 100, bytes > 1650, "{bytes}: {count}");
            assert!(answer.len() + 16 > bytes || count == 100, "as many as fit");
            assert!(read.is_answered_by(&answer, 0x1234));
            assert!(!read.is_answered_by(&answer, 0x1235));
        }
    }

    #[test]
    fn others_answers_are_cut_for_who_takes_less() {
        let asked = Query::read(&query("db", kind::A, Some(4096))).unwrap();
        let records: Vec<Record> = (0..100).map(|n| Record::Address([10, 9, 0, n].into())).collect();
        let given = asked.answer(Rcode::NoError, &records, 4096);
        let mut mine = query("db", kind::A, None);
        mine[0] = 0x77;
        let mine = Query::read(&mine).unwrap();
        let passed = mine.pass_on(given.clone(), 512);
        assert_eq!((passed[0], passed[2] & 2, passed.len()), (0x77, 2, 12 + 8));
        assert!(mine.is_answered_by(&passed, 0x7734));
        assert_eq!(mine.pass_on(given.clone(), 65535)[2..], given[2..]);
        assert!(!Query::read(&query("dc", kind::A, None)).unwrap().is_answered_by(&given, 0x1234));
    }

    #[test]
    fn any_bytes_are_no_panic() {
        // xorshift64: any bytes, and queries with a few bytes changed.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let whole = query("db.web.example", kind::AAAA, Some(1232));
        for round in 0..200_000 {
            let mut message =
                if round % 2 == 0 { (0..random() % 80).map(|_| random() as u8).collect() } else { whole.clone() };
            for _ in 0..random() % 4 {
                let at = random() as usize % message.len().max(1);
                if let Some(byte) = message.get_mut(at) {
                    *byte = random() as u8;
                }
            }
            if let Ok(read) = Query::read(&message) {
                let _ = read.name.reversed();
                let records = [Record::Address([1, 2, 3, 4].into()), Record::Pointer(read.name.clone())];
                let answer = read.answer(Rcode::NoError, &records, read.datagram_bytes());
                assert!(answer.len() <= 512.max(read.datagram_bytes()) && read.is_answered_by(&answer, read.id));
                let _ = read.is_answered_by(&message, read.id);
                assert!(read.pass_on(answer, 512).len() <= 512);
            }
        }
    }
}
