//! What options mean, and that table, parser and reference say the same.

use super::known::{KNOWN, Treatment, reference};
use super::*;
use std::collections::BTreeSet;

fn parse(list: &str) -> Options {
    let mut options = Options::default();
    options.add(OsStr::new(list)).unwrap();
    options
}

fn refused(list: &str) -> String {
    Options::default().add(OsStr::new(list)).unwrap_err().to_string()
}

#[test]
fn reads_what_podman_writes() {
    let said = parse("lowerdir=/a:/b,upperdir=/u,workdir=/w,,volatile,context=\"system_u:object_r:x:s0:c1,c2\"");
    assert_eq!(said.lowers, [PathBuf::from("/a"), "/b".into()]);
    assert_eq!((said.upper, said.work), (Some("/u".into()), Some("/w".into())));
    assert!(said.volatile);
    assert_eq!(said.labels, [("context".to_owned(), "system_u:object_r:x:s0:c1,c2".to_owned())]);
    assert_eq!(said.ignored, Vec::<String>::new());
}

#[test]
fn a_comma_in_a_name() {
    assert_eq!(parse(r"upperdir=/u\,v").upper, Some("/u,v".into()));
}

#[test]
fn later_options_overrule_and_unknown_ones_are_kept_for_a_warning() {
    let said =
        parse("ro,nodev,rw,dev,frobnicate=7,x-systemd.automount,xino=on,xino=off,override_creds,nooverride_creds");
    assert_eq!(said.flags, Flags::default());
    assert_eq!(said.ignored, ["frobnicate=7: unknown, ignored"]);
    let xino = ("xino".to_owned(), Some("off".to_owned()));
    assert_eq!(said.for_kernel, [xino, ("nooverride_creds".to_owned(), None)]);
    assert_eq!(parse("lowerdir+=/x,lowerdir+=/y:z").lowers, [PathBuf::from("/x"), "/y:z".into()]);
    assert_eq!(parse("lowerdir=/x,datadir+=/d").data_lowers, [PathBuf::from("/d")]);
}

#[test]
fn squashing_and_maps() {
    let said = parse("squash_to_uid=5,squash_to_root,uidmapping=1000:0:1:100000:1:65536");
    assert_eq!((said.squash_root, said.squash_uid, said.squash_gid), (true, Some(5), None));
    assert_eq!(said.uid_map.len(), 2);
    assert_eq!(said.uid_map[1], IdRun { inside: 1, outside: 100_000, length: 65_536 });
}

#[test]
fn refusals_name_the_option() {
    assert_eq!(refused("upperdir"), "option upperdir: needs a value");
    assert_eq!(refused("squash_to_uid=me"), "option squash_to_uid=me: not a number");
    assert_eq!(refused("uidmapping=0:1"), "option uidmapping=0:1: not IN-LAYERS:SHOWN:LENGTH");
    assert_eq!(refused("redirect_dir=maybe"), "option redirect_dir=maybe: no such value");
    assert_eq!(refused("xattr_permissions=3"), "option xattr_permissions=3: there are 0, 1 and 2");
    assert_eq!(refused("plugins=x.so"), "option plugins=x.so: plugins of fuse-overlayfs cannot be loaded");
}

#[test]
fn one_option_after_the_other() {
    let mut seen = Vec::new();
    let options = parse("ro");
    let list = OsStr::new("rw,timeout=1,,noacl");
    let note = |name: &str, changed: Options| {
        seen.push((name.to_owned(), changed == options));
        Ok(())
    };
    options.one_by_one(list, note).unwrap();
    assert_eq!(seen, [("rw".to_owned(), false), ("timeout=1".to_owned(), false), ("noacl".to_owned(), false)]);
}

/// contract O14
///
/// Every option of the table does what the table says: something, nothing, a warning or an error.
#[test]
fn the_parser_does_what_the_table_says() {
    let mut names = BTreeSet::new();
    for known in KNOWN {
        assert!(names.insert(known.name), "{} stands in the table twice", known.name);
        let list =
            if known.example.is_empty() { known.name.to_owned() } else { format!("{}={}", known.name, known.example) };
        let mut options = Options::default();
        let result = options.add(OsStr::new(&list));
        let changed = options != Options::default();
        match known.treatment {
            // What names the default does its work where something else was said before.
            Treatment::Taken(_) if !changed => {
                let opposite = match known.name {
                    "async" => "sync".to_owned(),
                    "rw" => "ro".to_owned(),
                    "atime" | "relatime" => "noatime".to_owned(),
                    name => format!("no{name}"),
                };
                assert_eq!(parse(&format!("{opposite},{list}")), Options::default(), "{list} undoes {opposite}");
                assert_ne!(parse(&opposite), Options::default(), "{opposite}");
            }
            Treatment::Taken(_) => assert!(result.is_ok() && options.ignored.is_empty(), "{list}: {result:?}"),
            Treatment::Idle(_) => assert!(result.is_ok() && !changed, "{list}"),
            Treatment::Warned(why) => assert_eq!(options.ignored, [format!("{list}: {why}")]),
            Treatment::Refused(why) => assert_eq!(result.unwrap_err().to_string(), format!("option {list}: {why}")),
        }
    }
}

/// Every option that fuse-overlayfs 1.10 to 2.0 and the kernel's overlay know is in the table.
#[test]
fn the_lists_of_others_are_covered() {
    let fuse_overlayfs = "lowerdir upperdir workdir redirect_dir context uidmapping gidmapping timeout threaded fsync sync \
        fast_ino fast_ino_check writeback noxattrs plugins xattr_permissions squash_to_root squash_to_uid squash_to_gid \
        static_nlink volatile noacl xino ino32_t allow_root allow_other default_permissions suid nosuid dev nodev exec \
        noexec atime noatime diratime nodiratime splice_read splice_write splice_move kernel_cache max_write ro rw";
    let kernel = "lowerdir lowerdir+ datadir+ upperdir workdir default_permissions redirect_dir index uuid nfs_export \
        userxattr xino metacopy verity volatile override_creds nooverride_creds";
    for name in fuse_overlayfs.split_whitespace().chain(kernel.split_whitespace()) {
        assert!(known::find(name).is_some(), "{name}");
    }
}

/// `VENEER_WRITE_DOCS=1 cargo test -p overlay reference` writes it anew.
#[test]
fn the_reference_is_printed_from_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ovl-mount.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- options: begin -->\n", "<!-- options: end -->\n");
    let (before, rest) = text.split_once(begin).expect("a mark where the options begin");
    let (_, after) = rest.split_once(end).expect("a mark where the options end");
    let wanted = format!("{before}{begin}{}{end}{after}", reference());
    if std::env::var_os("VENEER_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(text == wanted, "docs/ovl-mount.md: VENEER_WRITE_DOCS=1 cargo test -p overlay reference");
    }
}
