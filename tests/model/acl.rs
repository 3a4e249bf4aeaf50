//! Access lists as Linux keeps them (posix_acl(5), fs/posix_acl.c): how they and the mode bits change each other.

use super::tree::Object;

pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const MASK: u16 = 16;
const OTHER: u16 = 32;
const NO_ID: u32 = u32::MAX;

/// Entries: tag, permissions, id.
type Entries = Vec<(u16, u16, u32)>;

/// The list `u::rwx,u:1:USER,g::GROUP,m::MASK,o::OTHER` as the xattr holds it.
pub(crate) fn encoded(user: u16, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let entries =
        [(USER_OBJ, 7, NO_ID), (USER, user, 1), (GROUP_OBJ, group, NO_ID), (MASK, mask, NO_ID), (OTHER, other, NO_ID)];
    encode(&entries)
}

fn encode(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(bits.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

fn decode(value: &[u8]) -> Entries {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |n, b| n << 8 | u32::from(*b));
    value[4..].chunks(8).map(|c| (number(&c[..2]) as u16, number(&c[2..4]) as u16, number(&c[4..8]))).collect()
}

/// An access list was set: the group bits of the mode are its mask (posix_acl_update_mode).
pub(crate) fn was_set(object: &mut Object) {
    let Some(value) = object.xattrs.get(ACCESS) else { return };
    for (tag, bits, _) in decode(value) {
        let bits = u32::from(bits);
        match tag {
            USER_OBJ => object.mode = object.mode & !0o700 | bits << 6,
            MASK => object.mode = object.mode & !0o070 | bits << 3,
            OTHER => object.mode = object.mode & !0o007 | bits,
            _ => {}
        }
    }
}

/// The mode was changed: the list follows (posix_acl_chmod).
pub(crate) fn follow_mode(object: &mut Object) {
    let mode = object.mode;
    let Some(value) = object.xattrs.get_mut(ACCESS) else { return };
    let mut entries = decode(value);
    for (tag, bits, _) in &mut entries {
        match *tag {
            USER_OBJ => *bits = (mode >> 6 & 7) as u16,
            MASK => *bits = (mode >> 3 & 7) as u16,
            OTHER => *bits = (mode & 7) as u16,
            _ => {}
        }
    }
    *value = encode(&entries);
}

/// What a new object gets from its folder's default list (posix_acl_create); without one the umask cuts the mode.
pub(crate) fn inherit(folder: &Object, object: &mut Object, umask: u32) {
    let Some(list) = folder.xattrs.get(DEFAULT) else {
        object.mode &= !umask;
        return;
    };
    let mut entries = decode(list);
    let mode = object.mode;
    for (tag, bits, _) in &mut entries {
        let shift = match *tag {
            USER_OBJ => 6,
            MASK => 3,
            OTHER => 0,
            _ => continue,
        };
        *bits &= (mode >> shift & 7) as u16;
        object.mode = object.mode & !(7 << shift) | u32::from(*bits) << shift;
    }
    object.xattrs.insert(ACCESS.into(), encode(&entries));
    if object.is_folder() {
        object.xattrs.insert(DEFAULT.into(), list.clone());
    }
}
