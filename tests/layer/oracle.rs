//! What `unpack` reads in an archive, GNU tar and Python's tarfile read too; and what they could be made to read differently is
//! refused: contract U23. The list of disputes is in `lib/layer/src/archive/refusal.rs`.
//!
//! Go's `archive/tar` is the third reader that counts; it is asked where `VENEER_GO_TAR` names the program that
//! `tests/long/gotar.go` makes (docs/long-runs.md). bsdtar is asked where it is installed.

use crate::bench::{Bench, UNPACK};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use testkit::corpus::{Item, global, record, tar};

/// What a reader makes of an archive: type, size of files, name and target; and whether it got to the end without complaint.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    entries: Vec<String>,
    ended: bool,
}

fn run(program: &str, args: &[&str], archive: &Path) -> (Vec<String>, bool) {
    let mut command = Command::new(program);
    command.args(args).arg(archive).env("LC_ALL", "C").env("TZ", "UTC0");
    let out = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
    (String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect(), out.status.success())
}

/// `-rw-r--r-- 0/0  3 2001-09-09 01:46 name`, as `tar -tv` and `unpack -tv` print it.
fn listed((lines, ended): (Vec<String>, bool)) -> Reading {
    let one = |line: &String| {
        let mut words = line.split_ascii_whitespace();
        let mode = words.next().unwrap_or_default();
        let size = words.nth(1).unwrap_or_default();
        let name: Vec<&str> = words.skip(2).collect();
        let kind = mode.chars().next().filter(|&kind| kind != 'C').unwrap_or('-');
        format!("{kind} {} {}", if kind == '-' { size } else { "" }, name.join(" "))
    };
    // A label is no entry.
    Reading { entries: lines.iter().filter(|line| !line.starts_with('V')).map(one).collect(), ended }
}

fn ours_of(archive: &Path) -> Reading {
    listed(run(UNPACK, &["--as", "layer", "-tv"], archive))
}

fn gnu_tar(archive: &Path) -> Reading {
    listed(run("tar", &["--numeric-owner", "-tvf"], archive))
}

/// Go's reading in the same form, by the program of `tests/long/gotar.go`.
fn go(archive: &Path) -> Option<Reading> {
    let program = std::env::var("VENEER_GO_TAR").ok()?;
    let (entries, ended) = run(&program, &[], archive);
    Some(Reading { entries, ended })
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A generator of our own, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }

    /// A part of an archive, as likely odd as not. Data looks like another entry, so that who reads on at the wrong place
    /// finds one.
    fn part(&mut self, number: usize) -> Vec<u8> {
        let inner = Item::file(format!("hidden{number}"), b"").bytes();
        let data = match self.roll(4) {
            0 => inner,
            1 => b"abc".to_vec(),
            _ => Vec::new(),
        };
        let slash = if self.roll(8) == 0 { "/" } else { "" };
        let kind = self.pick(b"0000000\x00112345567DV");
        let mut item = Item::file(format!("n{number}{slash}"), &data).raw(156, &[kind]);
        if matches!(kind, b'1' | b'2') {
            item = item.raw(157, b"target");
        }
        let magic: &[u8] = self.pick(&[b"ustar\x0000", b"ustar\x0000", b"ustar  \0", b"\0\0\0\0\0\0\0\0", b"ustar 00"]);
        item = item.raw(257, magic);
        if self.roll(6) == 0 {
            let size: &[u8] = self.pick(&[
                b"00000001000\0",
                b"        1000",
                b"\x00000001000\0",
                b"00001000 7\0\0",
                b"1000\x0077\0\0\0\0\0",
                b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
                b"            ",
            ]);
            item = item.raw(124, size);
        }
        if self.roll(8) == 0 {
            item = item.raw(345, self.pick(&[&b"pre"[..], b"777", b"pre/"]));
        }
        if self.roll(12) == 0 {
            item = item.raw(508, b"tar\0");
        }
        if self.roll(10) == 0 {
            item = item.gnu_name(self.pick(&["long", "long/", "", "n0"]));
        }
        let mut before = Vec::new();
        if self.roll(3) == 0 {
            let mut records = Vec::new();
            for _ in 0..1 + self.roll(3) {
                let (key, value) = self.pick(&[
                    ("path", &b"pax"[..]),
                    ("path", b"pax/"),
                    ("path", b""),
                    ("path", b"a\0b"),
                    ("linkpath", b"paxlink"),
                    ("size", b"0"),
                    ("size", b"512"),
                    ("size", b"3"),
                    ("size", b"+3"),
                    ("uid", b"7"),
                    ("mtime", b"1000000000"),
                    ("comment", b"c"),
                    ("GNU.sparse.name", b"sparse"),
                    ("GNU.sparse.realsize", b"100"),
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                ]);
                records.extend(record(key.as_bytes(), value));
            }
            before = Item::file("x", records).raw(156, b"x").bytes();
        }
        if self.roll(20) == 0 {
            before.extend(global(&[self.pick(&[("comment", "c"), ("size", "512"), ("uid", "9")])]));
        }
        if self.roll(30) == 0 {
            before.extend(before.clone());
        }
        if self.roll(40) == 0 {
            before.extend([0; 512]);
        }
        [before, item.bytes()].concat()
    }
}

#[test]
fn what_is_read_others_read_alike() {
    let bench = Bench::new();
    let archive = bench.path("a.tar");
    let seed = std::env::var("VENEER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
    });
    let count: usize = std::env::var("VENEER_ARCHIVES").ok().and_then(|count| count.parse().ok()).unwrap_or(150);
    say(&format!("VENEER_SEED={seed}, VENEER_ARCHIVES={count}"));
    let mut dice = Dice(seed);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..count {
        let parts = 1 + dice.roll(4);
        let mut bytes: Vec<u8> = (0..parts).flat_map(|number| dice.part(number)).collect();
        bytes.extend(tar(&[Item::file("last", b"abc")]));
        std::fs::write(&archive, &bytes).expect("a file");
        let ours = ours_of(&archive);
        let kept = || {
            let kept = std::env::temp_dir().join(format!("dispute-{seed}-{round}.tar"));
            std::fs::write(&kept, &bytes).expect("a file");
            kept.display().to_string()
        };
        if !ours.ended {
            refused += 1;
            continue;
        }
        taken += 1;
        let theirs = gnu_tar(&archive);
        assert_eq!(ours.entries, theirs.entries, "GNU tar reads {} another way", kept());
        if let Some(go) = go(&archive) {
            assert_eq!(ours, go, "Go reads {} another way", kept());
        }
    }
    say(&format!("{taken} archives read, {refused} refused"));
    // A fifth as a rule.
    assert!(count < 100 || taken * 20 > count, "only {taken} of {count} archives were read");
}

#[test]
fn what_tools_write_python_reads_alike() {
    testkit::need!(root, "python3");
    let bench = Bench::new();
    bench.sh(r#"
        mkdir -p in/d/e; echo hi > in/f; ln in/f in/hard; ln -s f in/sym; mknod in/null c 1 3; mkfifo in/pipe
        n=$(printf 'n%.0s' {1..120}); mkdir -p in/$n/$n; echo x > in/$n/$n/file; ln -s $n/$n/file in/longlink; ln in/$n/$n/file in/longhard
        truncate -s 5M in/sparse; printf abc | dd of=in/sparse bs=1 seek=3000000 conv=notrunc status=none; truncate -s 1M in/hole
        chown 3000000:4000000 in/null; touch -d '1999-12-31 23:59:59.25' in/f; printf x > in/$'\xff'
        for f in oldgnu gnu posix; do tar -C in --format=$f -cf $f.tar .; tar -C in -S --format=$f -cf $f-holes.tar .; done
        for v in 0.0 0.1; do tar -C in -S --format=posix --sparse-version=$v -cf $v.tar .; done
        tar -C in --format=gnu -V label -cf label.tar .
        chown 0:0 in/null; rm -r in/nn* in/long*; tar -C in --format=ustar -cf ustar.tar .
        if command -v bsdtar; then for f in ustar pax gnutar v7; do bsdtar -C in --format=$f -cf bsd-$f.tar .; done; fi
        rm in/null in/pipe in/$'\xff'; tar -C in --format=v7 -cf v7.tar .
        python3 - <<'END'
import tarfile
for name, form in (('ustar', tarfile.USTAR_FORMAT), ('gnu', tarfile.GNU_FORMAT), ('pax', tarfile.PAX_FORMAT)):
    with tarfile.open(f'py-{name}.tar', 'w', format=form) as archive:
        archive.add('in', arcname='./')
END
        cat > read.py <<'END'
import base64, json, sys, tarfile
kinds = {b'0': 'file', b'\0': 'file', b'S': 'file', b'1': 'hardlink', b'2': 'symlink', b'3': 'char', b'4': 'block', b'5': 'directory', b'6': 'fifo'}
for m in tarfile.open(sys.argv[1]):
    if m.type == b'V':
        continue
    name = lambda text: text.rstrip('/').encode('utf-8', 'surrogateescape').hex()
    print(json.dumps([name(m.name), kinds[m.type], m.size if m.isfile() else 0, m.mode, m.uid, m.gid, int(m.mtime // 1), name(m.linkname)]))
END
    "#);
    let mut archives = 0;
    for name in crate::bench::names_in(&bench.path("")).iter().filter(|name| name.ends_with(".tar")) {
        let path = bench.path(name);
        let theirs = run("python3", &[bench.path("read.py").to_str().expect("UTF-8")], &path);
        assert!(theirs.1 && theirs.0.len() > 5, "{name}: {theirs:?}");
        let ours: Vec<String> = bench
            .unpacked(&format!("--as layer -t --json {name}"))
            .iter()
            .map(|line| as_python(&serde_json::from_str(line).expect("JSON")))
            .collect();
        assert_eq!(ours, theirs.0, "{name}");
        let ours = ours_of(&path);
        assert_eq!(ours, gnu_tar(&path), "{name}");
        if let Some(go) = go(&path) {
            let unescaped = ours.entries.iter().map(|line| line.replace("\\377", "\u{fffd}")).collect();
            assert_eq!(Reading { entries: unescaped, ..ours }, go, "{name}");
        }
        archives += 1;
    }
    assert!(archives >= 14, "{archives} archives");
}

/// An entry as `read.py` prints it.
fn as_python(entry: &Value) -> String {
    let name = |key: &str| {
        let text = match (entry[format!("{key}_base64")].as_str(), entry[key].as_str()) {
            (Some(_), Some(text)) => text.replace('\u{fffd}', "\u{ff}").chars().map(|c| c as u8).collect(),
            (None, Some(text)) => text.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let end = text.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
        text[..end].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let number = |key: &str| entry[key].as_i64().unwrap_or(0);
    let mode = u32::from_str_radix(entry["mode"].as_str().expect("a mode"), 8).expect("octal");
    let kind = entry["type"].as_str().expect("a type");
    let size = if kind == "file" { number("size") } else { 0 };
    format!(
        "[\"{}\", \"{kind}\", {size}, {mode}, {}, {}, {}, \"{}\"]",
        name("path"),
        number("uid"),
        number("gid"),
        number("mtime_seconds"),
        name("link")
    )
}
