//! POSIX ACLs from the text that star, GNU tar and libarchive write (acl(5)) to the bytes the kernel takes as an xattr
//! (`linux/posix_acl_xattr.h`).
//!
//! Text: `user::rwx,user:lisa:r-x:502,group::r--,mask::r-x,other::r--`, one entry after a comma or newline; words may be cut
//! to their first letter; star and libarchive add the numeric id as a fourth field. What follows `#` is a comment.
//!
//! Bytes: version 2, then for each entry tag, permissions (16 bits each) and id (32 bits), all little-endian, in the order
//! owner, users, group, groups, mask, others: the kernel refuses any other.
//!
//! A name without number means nothing in another root file system, so such entries are left out and told. An entry that
//! takes rights away goes as well as one that gives some: who cares reads the report.

/// What a text says.
#[derive(Debug)]
pub(super) struct Acl {
    /// The value of the xattr.
    pub(super) bytes: Vec<u8>,
    /// Entries left out for having a name and no number.
    pub(super) nameless: Vec<Vec<u8>>,
}

const VERSION: u32 = 2;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;
const NO_ID: u32 = u32::MAX;

/// Reads the text of one ACL.
pub(super) fn parse(text: &[u8]) -> Result<Acl, &'static str> {
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    let mut nameless = Vec::new();
    for entry in text.split(|b| matches!(b, b',' | b'\n')) {
        let entry = entry.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
        if entry.is_empty() {
            continue;
        }
        match one(entry)? {
            Some(entry) => entries.push(entry),
            None => nameless.push(entry.to_vec()),
        }
    }
    entries.sort_unstable();
    if entries.windows(2).any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
        return Err("an entry comes twice");
    }
    let has = |tag: u16| entries.iter().any(|entry| entry.0 == tag);
    if !(has(USER_OBJ) && has(GROUP_OBJ) && has(OTHER)) {
        return Err("no entry for owner, group or others");
    }
    if (has(USER) || has(GROUP)) && !has(MASK) {
        // As setfacl(1) completes it: all that the entries under the mask give.
        let all = entries.iter().filter(|entry| matches!(entry.0, USER | GROUP_OBJ | GROUP));
        let mask = (MASK, NO_ID, all.fold(0, |sum, entry| sum | entry.2));
        let at = entries.partition_point(|entry| entry.0 < MASK);
        entries.insert(at, mask);
    }
    let mut bytes = Vec::with_capacity(4 + 8 * entries.len());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for (tag, id, permissions) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    Ok(Acl { bytes, nameless })
}

/// Tag, id and permissions of one entry; `None` where it has a name and no number.
fn one(entry: &[u8]) -> Result<Option<(u16, u32, u16)>, &'static str> {
    let mut fields = entry.split(|&b| b == b':').map(<[u8]>::trim_ascii);
    let mut field = || fields.next().unwrap_or_default();
    let tag = field();
    let (tag, who, allowed, id) = match tag {
        b"user" | b"u" => (USER, field(), field(), field()),
        b"group" | b"g" => (GROUP, field(), field(), field()),
        // Solaris has no second field here, and libarchive can write it so.
        b"mask" | b"m" | b"other" | b"o" => {
            let tag = if tag[0] == b'm' { MASK } else { OTHER };
            match (field(), field()) {
                (b"", allowed) => (tag, &b""[..], allowed, field()),
                (allowed, b"") => (tag, &b""[..], allowed, field()),
                _ => return Err("a mask or others with a name"),
            }
        }
        _ => return Err("an entry of no known kind"),
    };
    if fields.next().is_some() {
        return Err("an entry of too many fields");
    }
    let mut permissions = 0;
    for letter in allowed {
        permissions |= match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => 0,
            _ => return Err("permissions other than rwx"),
        };
    }
    if allowed.is_empty() || allowed.len() > 3 {
        return Err("an entry without permissions");
    }
    match (tag, who) {
        (USER, b"") => Ok(Some((USER_OBJ, NO_ID, permissions))),
        (GROUP, b"") => Ok(Some((GROUP_OBJ, NO_ID, permissions))),
        (MASK | OTHER, _) => Ok(Some((tag, NO_ID, permissions))),
        _ => {
            let number = if id.is_empty() { who } else { id };
            if !number.iter().all(u8::is_ascii_digit) {
                return if id.is_empty() { Ok(None) } else { Err("an id that is no number") };
            }
            match std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()) {
                Some(id) if id != NO_ID => Ok(Some((tag, id, permissions))),
                _ => Err("an id that Linux does not know"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags, permissions and ids out of the bytes.
    fn entries(acl: &Acl) -> Vec<(u16, u16, u32)> {
        assert_eq!(acl.bytes[..4], [2, 0, 0, 0]);
        acl.bytes[4..]
            .chunks(8)
            .map(|e| {
                let half = |at: usize| u16::from_le_bytes([e[at], e[at + 1]]);
                (half(0), half(2), u32::from_le_bytes([e[4], e[5], e[6], e[7]]))
            })
            .collect()
    }

    #[test]
    fn the_number_of_a_name_comes_fourth_or_in_its_place() {
        let text = b"user::rwx,user:lisa:r-x:502,group::r--,group:7:rw-\nmask::rwx\nother::---\n";
        let acl = parse(text).unwrap();
        let expected = [(1, 7, NO_ID), (2, 5, 502), (4, 4, NO_ID), (8, 6, 7), (16, 7, NO_ID), (32, 0, NO_ID)];
        assert_eq!(entries(&acl), expected);
        assert!(acl.nameless.is_empty());
    }

    #[test]
    fn names_without_number_are_told_and_a_mask_is_made() {
        let acl = parse(b"u::rw-,u:joe:r--,g::r--,g:5:-wx\t#effective:---\n,o:r--").unwrap();
        assert_eq!(acl.nameless, [b"u:joe:r--".to_vec()]);
        let expected = [(1, 6, NO_ID), (4, 4, NO_ID), (8, 3, 5), (16, 7, NO_ID), (32, 4, NO_ID)];
        assert_eq!(entries(&acl), expected);
    }

    #[test]
    fn refuses_what_the_kernel_would() {
        for bad in [
            "user::rwx,group::r--",
            "user::rwx,user::r--,group::r--,other::r--",
            "user::rwx,group::r--,other::r--,user:5:r--,user:6:r--:5",
            "user::rwz,group::r--,other::r--",
            "user::,group::r--,other::r--",
            "user::rwx,group::r--,other::r--,mask:x:r--",
            "owner::rwx,group::r--,other::r--",
            "user::rwx,group::r--,other::r--,user:5:r--:5:5",
            "user::rwx,group::r--,other::r--,user:4294967295:r--",
            "user::rwx,group::r--,other::r--,user:a:r--:b",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
