//! Rotation, compression and reading along: no entry is lost or doubled, also where the writer is killed between two steps.

use super::super::{Source, Writer};
use super::*;
use crate::life::Asked;
use crate::process::Defaults;
use crate::request::Request;
use crate::request::logging::Logging;
use crate::stream::Channel;
use store::Record;

/// A store with one container whose log is kept as `options` say.
struct Lab {
    _dir: tempfile::TempDir,
    root: Root,
    record: Record,
    asked: Asked,
}

impl Lab {
    fn new(driver: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let logging = Logging::parse(Some(driver), &options).unwrap();
        let asked = Asked { request: Request { logging, ..Request::default() }, defaults: Defaults::default() };
        let record = Record {
            id: ContainerId::from_random([7; 32]),
            name: "writer".into(),
            created: "2026-01-01T00:00:00Z".into(),
            image: "host".into(),
            image_id: None,
            layers: Vec::new(),
            asked: serde_json::to_value(&asked).unwrap(),
        };
        root.create_container(&record).unwrap();
        Self { _dir: dir, root, record, asked }
    }

    fn writer(&self) -> Writer {
        Writer::open(&self.root, &self.record, &self.asked).unwrap()
    }

    fn path(&self) -> PathBuf {
        super::super::path(&self.root, &self.record, &self.asked).unwrap()
    }

    /// Every line there is, as a number.
    fn lines(&self) -> Vec<u32> {
        let mut source = Source::open(&self.root, &self.record, &self.asked).unwrap();
        drain(&mut source)
    }
}

fn drain(source: &mut Source) -> Vec<u32> {
    std::iter::from_fn(|| source.next_entry().unwrap()).map(|e| e.log.trim().parse().unwrap()).collect()
}

fn say(writer: &mut Writer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        writer.push(Channel::Stdout, format!("{number}\n").as_bytes()).unwrap();
    }
}

#[test]
fn nothing_is_lost_or_doubled_at_a_rotation() {
    for driver in ["json-file", "local"] {
        let lab = Lab::new(driver, &["max-size=1k", "max-file=40"]);
        let mut along = Source::open(&lab.root, &lab.record, &lab.asked).unwrap();
        let mut read = Vec::new();
        let mut writer = lab.writer();
        for step in 0..40 {
            say(&mut writer, step * 9..step * 9 + 9);
            if step % 3 == 0 {
                read.extend(drain(&mut along));
            }
            if let Some(aside) = writer.take_aside() {
                compress(&lab.root, &lab.record.id, &aside).unwrap();
            }
        }
        read.extend(drain(&mut along));
        let all: Vec<u32> = (0..360).collect();
        assert_eq!(read, all, "{driver}: along");
        assert_eq!(lab.lines(), all, "{driver}: afterwards");
        assert!(aside(&lab.path(), 3).exists() || compressed(&lab.path(), 3).exists());
    }
}

#[test]
fn a_log_has_as_many_files_as_asked_for_and_none_too_large() {
    let lab = Lab::new("json-file", &["max-size=1k", "max-file=3"]);
    let mut writer = lab.writer();
    say(&mut writer, 0..200);
    let folder = lab.path().parent().unwrap().to_owned();
    let logs =
        std::fs::read_dir(&folder).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().contains("-json.log"));
    let sizes: Vec<u64> = logs.map(|e| e.metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    let lines = lab.lines();
    assert_eq!(lines, (lines[0]..200).collect::<Vec<_>>(), "the newest, without a gap");
    let lab = Lab::new("json-file", &["max-size=1k", "max-file=1"]);
    let mut along = Source::open(&lab.root, &lab.record, &lab.asked).unwrap();
    let mut writer = lab.writer();
    say(&mut writer, 0..5);
    assert_eq!(drain(&mut along), [0, 1, 2, 3, 4]);
    say(&mut writer, 5..20);
    assert_eq!(drain(&mut along), (5..20).collect::<Vec<_>>());
    assert!(!aside(&lab.path(), 1).exists());
}

#[test]
fn a_writer_killed_between_any_two_steps_of_a_rotation_loses_and_doubles_nothing() {
    let lab = Lab::new("json-file", &["max-size=1k", "max-file=9", "compress=true"]);
    let mut writer = lab.writer();
    say(&mut writer, 0..40);
    drop(writer);
    let path = lab.path();
    let all: Vec<u32> = (0..40).collect();
    // after the old ones were moved on, before the new one was
    for number in (1..9).rev().filter(|n| aside(&path, *n).exists()) {
        std::fs::rename(aside(&path, number), aside(&path, number + 1)).unwrap();
        assert_eq!(lab.lines(), all);
    }
    // after the one that is written to was, before there is another
    std::fs::rename(&path, aside(&path, 1)).unwrap();
    assert_eq!(lab.lines(), all);
    // compressed, and not yet removed
    let kept = std::fs::read(aside(&path, 1)).unwrap();
    compress(&lab.root, &lab.record.id, &path).unwrap();
    assert_eq!(lab.lines(), all);
    std::fs::write(aside(&path, 1), kept).unwrap();
    assert_eq!(lab.lines(), all);
    say(&mut lab.writer(), 40..60);
    assert_eq!(lab.lines(), (0..60).collect::<Vec<_>>());
}

#[test]
fn half_an_entry_of_a_killed_writer_is_cut_off() {
    for driver in ["json-file", "local"] {
        let lab = Lab::new(driver, &[]);
        say(&mut lab.writer(), 0..3);
        let whole = std::fs::read(lab.path()).unwrap();
        std::fs::write(lab.path(), &whole[..whole.len() - 3]).unwrap();
        say(&mut lab.writer(), 7..9);
        assert_eq!(lab.lines(), [0, 1, 7, 8], "{driver}");
    }
}

#[test]
fn long_and_unfinished_lines() {
    let lab = Lab::new("json-file", &["tag={{.Name}}"]);
    let mut writer = lab.writer();
    writer.push(Channel::Stdout, b"one\ntw").unwrap();
    writer.push(Channel::Stderr, b"err\n").unwrap();
    writer.push(Channel::Stdout, b"o\n").unwrap();
    writer.push(Channel::Stdout, &[b'x'; super::super::LINE_BYTES + 1]).unwrap();
    writer.finish().unwrap();
    let mut source = Source::open(&lab.root, &lab.record, &lab.asked).unwrap();
    let entries: Vec<_> = std::iter::from_fn(|| source.next_entry().unwrap()).collect();
    assert!(entries.iter().all(|e| e.attrs["tag"] == "writer"));
    let got: Vec<_> = entries.iter().map(|e| (e.stream.as_str(), e.log.len(), e.log.ends_with('\n'))).collect();
    let long = super::super::LINE_BYTES;
    let want =
        [("stdout", 4, true), ("stderr", 4, true), ("stdout", 4, true), ("stdout", long, false), ("stdout", 1, false)];
    assert_eq!(got, want);
}

#[test]
fn a_rotation_that_cannot_be_loses_nothing_that_was_put_aside() {
    let lab = Lab::new("json-file", &["max-size=300", "max-file=3"]);
    let mut writer = lab.writer();
    say(&mut writer, 0..12);
    let before = lab.lines();
    assert!(before.len() > 6, "three files: {before:?}");
    // no room for another file
    let new = numbered(&lab.path(), "new");
    std::fs::create_dir(&new).unwrap();
    for number in 12..20 {
        let _ = writer.push(Channel::Stdout, format!("{number}\n").as_bytes());
    }
    assert!(lab.lines().starts_with(&before), "{:?}", lab.lines());
    std::fs::remove_dir(&new).unwrap();
    // somebody removed the one that is written to
    std::fs::remove_file(lab.path()).unwrap();
    let kept = lab.lines();
    assert!(!kept.is_empty());
    for number in 20..24 {
        let _ = writer.push(Channel::Stdout, format!("{number}\n").as_bytes());
    }
    assert!(lab.lines().starts_with(&kept) && lab.lines().ends_with(&[23]), "{kept:?} {:?}", lab.lines());
}

#[test]
fn the_last_entries_are_found_without_reading_the_first() {
    for driver in ["json-file", "local"] {
        let lab = Lab::new(driver, &["max-size=1k", "max-file=40"]);
        let mut writer = lab.writer();
        say(&mut writer, 0..80);
        let all: Vec<u32> = (0..80).collect();
        let tail = |wanted: usize| {
            let mut source = Source::open(&lab.root, &lab.record, &lab.asked).unwrap();
            source.tail(wanted).unwrap();
            source
        };
        for wanted in [0, 1, 7, 30, 79, 80, 99] {
            assert_eq!(drain(&mut tail(wanted)), all[80_usize.saturating_sub(wanted)..], "{driver} {wanted}");
        }
        let mut along = tail(2);
        assert_eq!(drain(&mut along), [78, 79]);
        say(&mut writer, 80..120);
        assert_eq!(drain(&mut along), (80..120).collect::<Vec<_>>(), "{driver}: and on");
        // compressed ones are read from their beginning
        compress(&lab.root, &lab.record.id, &lab.path()).unwrap();
        assert!(compressed(&lab.path(), 1).exists());
        let some = drain(&mut tail(60));
        assert!(some.len() >= 60 && some.len() < 90, "{driver}: {some:?}");
        assert_eq!(some, (120 - some.len() as u32..120).collect::<Vec<_>>());
    }
}

#[test]
fn a_log_of_more_files_than_may_be_open_is_read_whole() {
    let lab = Lab::new("json-file", &["max-size=200", "max-file=1000"]);
    let mut writer = lab.writer();
    let all = |to: u32| (0..to).collect::<Vec<_>>();
    say(&mut writer, 0..300);
    let parts = parts(&lab.path()).unwrap();
    assert!(parts.len() > OPEN * 2, "{}", parts.len());
    assert_eq!(parts.iter().filter(|part| part.bytes.is_some()).count(), OPEN);
    assert!(parts[0].bytes.is_some(), "the first to be read, and to be taken away");
    assert_eq!(lab.lines(), all(300));
    // those that are not open move, and are compressed, before they are read
    let mut along = Source::open(&lab.root, &lab.record, &lab.asked).unwrap();
    let mut read: Vec<u32> =
        (0..10).map(|_| along.next_entry().unwrap().unwrap().log.trim().parse().unwrap()).collect();
    say(&mut writer, 300..320);
    compress(&lab.root, &lab.record.id, &lab.path()).unwrap();
    read.extend(drain(&mut along));
    assert_eq!(read, all(320));
}
