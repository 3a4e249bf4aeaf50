//! What stands between the compressed data of members: headers and trailers, byte by byte, so that they may come in any parts.

use super::sum::Sum;
use crate::compression::deflate::{Broken, Input};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// That more must come.
    Input,
    /// A header; the compressed data follow.
    Body,
    /// A trailer: CRC32 and size modulo 2^32.
    Trailer(u32, u32),
    /// The end, behind at least one member.
    End,
}

const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const HEADER_CRC: u8 = 2;
const RESERVED: u8 = 0xe0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The ten bytes that every header has.
    Fixed,
    ExtraLength,
    Extra(u16),
    Name,
    Comment,
    HeaderCrc,
    Trailer,
    /// Behind a member.
    Behind,
    Padding,
}

/// Reads headers and trailers.
#[derive(Debug)]
pub(super) struct Framing {
    phase: Phase,
    flags: u8,
    /// The bytes of the field that is being read.
    field: [u8; 10],
    have: usize,
    sum: Sum,
}

impl Framing {
    /// Before the first member.
    pub(super) fn new() -> Self {
        Self { phase: Phase::Fixed, flags: 0, field: [0; 10], have: 0, sum: Sum::default() }
    }

    /// What follows is a trailer.
    pub(super) fn body_has_ended(&mut self) {
        self.enter(Phase::Trailer);
    }

    /// Whether it stands where a member may begin.
    pub(super) fn is_between(&self) -> bool {
        self.phase == Phase::Behind || (self.phase == Phase::Fixed && self.have == 0)
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.have) = (phase, 0);
    }

    /// Reads on from byte `at`.
    pub(super) fn read(&mut self, input: Input<'_>, at: &mut usize) -> Result<Found, Broken> {
        loop {
            let Some(&byte) = input.bytes.get(*at) else {
                return match (input.last, self.phase) {
                    (false, _) => Ok(Found::Input),
                    (true, Phase::Behind | Phase::Padding) => Ok(Found::End),
                    (true, _) => Err(Broken::Cut),
                };
            };
            if self.phase == Phase::Behind {
                match byte {
                    0x1f => {
                        self.sum = Sum::default();
                        self.enter(Phase::Fixed);
                    }
                    0 => self.enter(Phase::Padding),
                    _ => return Err(Broken::Invalid("bytes behind the gzip stream")),
                }
            }
            *at += 1;
            if self.byte(byte)? {
                if self.phase == Phase::Trailer {
                    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| self.field[at + n]));
                    let found = Found::Trailer(number(0), number(4));
                    self.enter(Phase::Behind);
                    return Ok(found);
                }
                return Ok(Found::Body);
            }
        }
    }

    /// Takes a byte; true when it was the last of a header or trailer.
    fn byte(&mut self, byte: u8) -> Result<bool, Broken> {
        if !matches!(self.phase, Phase::HeaderCrc | Phase::Trailer | Phase::Padding) {
            self.sum.update(&[byte]);
        }
        let fixed = match self.phase {
            Phase::Fixed => 10,
            Phase::ExtraLength | Phase::HeaderCrc => 2,
            Phase::Trailer => 8,
            _ => 0,
        };
        if fixed > 0 {
            self.field[self.have] = byte;
            self.have += 1;
            if self.have < fixed {
                return Ok(false);
            }
        }
        let two = u16::from_le_bytes([self.field[0], self.field[1]]);
        match self.phase {
            Phase::Fixed => {
                if self.field[..2] != [0x1f, 0x8b] {
                    return Err(Broken::Invalid("no gzip header"));
                }
                if self.field[2] != 8 {
                    return Err(Broken::Invalid("unknown compression method"));
                }
                self.flags = self.field[3];
                if self.flags & RESERVED != 0 {
                    return Err(Broken::Invalid("unknown header flags"));
                }
                Ok(self.optional(EXTRA))
            }
            Phase::ExtraLength if two == 0 => Ok(self.optional(NAME)),
            Phase::ExtraLength => {
                self.enter(Phase::Extra(two));
                Ok(false)
            }
            Phase::Extra(1) => Ok(self.optional(NAME)),
            Phase::Extra(left) => {
                self.phase = Phase::Extra(left - 1);
                Ok(false)
            }
            Phase::Name => Ok(byte == 0 && self.optional(COMMENT)),
            Phase::Comment => Ok(byte == 0 && self.optional(HEADER_CRC)),
            Phase::HeaderCrc if u32::from(two) != self.sum.crc & 0xffff => {
                Err(Broken::Invalid("header checksum mismatch"))
            }
            Phase::HeaderCrc | Phase::Trailer => Ok(true),
            Phase::Behind => Ok(false),
            Phase::Padding if byte == 0 => Ok(false),
            Phase::Padding => Err(Broken::Invalid("bytes behind the gzip stream")),
        }
    }

    /// Goes on to the next field that the header has, `from` or what comes after it; true if there is none.
    fn optional(&mut self, from: u8) -> bool {
        let fields = [
            (EXTRA, Phase::ExtraLength),
            (NAME, Phase::Name),
            (COMMENT, Phase::Comment),
            (HEADER_CRC, Phase::HeaderCrc),
        ];
        let rest = fields.iter().skip_while(|(flag, _)| *flag != from);
        for (flag, phase) in rest {
            if self.flags & flag != 0 {
                self.enter(*phase);
                return false;
            }
        }
        true
    }
}
