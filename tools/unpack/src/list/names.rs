//! Names as GNU tar prints them (quotearg's style `escape`, which is its default): a line each, whatever is in them, and nothing
//! that would move a terminal's cursor.

/// Appends `name` to `out`. UTF-8 stays as it is, as in a UTF-8 locale; what is none, and control characters, are escaped as in C.
pub(super) fn escape(name: &[u8], out: &mut Vec<u8>) {
    for part in name.utf8_chunks() {
        let mut text = [0; 4];
        for c in part.valid().chars() {
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '\x07' => out.extend_from_slice(b"\\a"),
                '\x08' => out.extend_from_slice(b"\\b"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\x0b' => out.extend_from_slice(b"\\v"),
                '\x0c' => out.extend_from_slice(b"\\f"),
                '\r' => out.extend_from_slice(b"\\r"),
                c if c.is_control() => octal(c.encode_utf8(&mut text).as_bytes(), out),
                c => out.extend_from_slice(c.encode_utf8(&mut text).as_bytes()),
            }
        }
        octal(part.invalid(), out);
    }
}

fn octal(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend([b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_stay_on_their_line() {
        for (name, shown) in [
            (&b"usr/bin/[ a"[..], "usr/bin/[ a"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"a\nb\\c\x1b[2J\x7f", "a\\nb\\\\c\\033[2J\\177"),
            (b"\xff\xc3", "\\377\\303"),
            ("\u{85}".as_bytes(), "\\302\\205"),
        ] {
            let mut out = Vec::new();
            escape(name, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), shown);
        }
    }
}
