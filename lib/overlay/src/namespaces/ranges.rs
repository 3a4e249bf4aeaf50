//! A user's ranges in /etc/subuid and /etc/subgid (subuid(5)): `NAME-OR-ID:START:LENGTH` a line.

use rustix::fs::{Mode, OFlags, open};

/// Ids that a user may give out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// The ranges that `file` gives to the user with this id; none where there is no such file.
pub(super) fn of(uid: u32, file: &str) -> Vec<Range> {
    parse(&read(file), uid, name(&read("/etc/passwd"), uid).as_deref())
}

fn parse(text: &str, uid: u32, name: Option<&str>) -> Vec<Range> {
    let id = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let (start, length) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (who == id || Some(who) == name).then_some(Range { start, length }).filter(|r| r.length > 0)
    };
    text.lines().filter_map(range).collect()
}

/// The name of a user: read from the file itself, since a static program has no name services.
fn name(passwd: &str, uid: u32) -> Option<String> {
    let id = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&id))?;
    line.split(':').next().map(str::to_owned)
}

fn read(file: &str) -> String {
    let mut text = Vec::new();
    let Ok(file) = open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return String::new() };
    let mut part = [0_u8; 4096];
    while let Ok(length @ 1..) = rustix::io::read(&file, &mut part) {
        text.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_id() {
        let text = "root:1:2\nann:100000:65536\n1000:300000:10\nbad:x:y\nann:5:0\n";
        let ranges = [Range { start: 100_000, length: 65_536 }, Range { start: 300_000, length: 10 }];
        assert_eq!(parse(text, 1000, Some("ann")), ranges);
        assert_eq!(parse(text, 7, None), []);
        assert_eq!(name("root:x:0:0::/:\nann:x:1000:1000::/:\n", 1000).as_deref(), Some("ann"));
    }
}
