//! The union rules without a mount: `cargo bench -p benches --bench overlay`.
//!
//! Five lower layers on /dev/shm where there is one, each with 200 of the 1,000 files of one folder and a subfolder that all of
//! them have; the topmost also hides 100 of the others' files.

use criterion::{Criterion, criterion_group, criterion_main};
use overlay::union::{Lower, ROOT, Stack, StackSpec};
use overlay::{XattrNamespace, union::Node};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LAYERS: usize = 5;

/// Makes the layers below `dir`; topmost first.
fn layers(dir: &Path) -> Vec<PathBuf> {
    let make = |index: usize| {
        let layer = dir.join(format!("layer{index}"));
        std::fs::create_dir_all(layer.join("folder/all")).expect("a folder");
        for file in (index * 200)..(index + 1) * 200 {
            std::fs::write(layer.join(format!("folder/file{file}")), b"x").expect("a file");
        }
        layer
    };
    let layers: Vec<PathBuf> = (0..LAYERS).map(make).collect();
    let top = layers.first().expect("a layer").join("folder");
    for hidden in 900..1000 {
        let whiteout = top.join(format!("file{hidden}"));
        let device = rustix::fs::makedev(0, 0);
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty());
        rustix::fs::mknodat(rustix::fs::CWD, &whiteout, kind, mode, device).expect("a whiteout needs no privilege");
    }
    layers
}

fn open(layers: &[PathBuf]) -> Stack {
    let lowers = layers.iter().map(|l| Lower::Path(l.clone())).collect();
    Stack::open(&StackSpec { lowers, xattrs: XattrNamespace::User, ..StackSpec::default() }).expect("a stack")
}

fn folder(stack: &Stack) -> Arc<Node> {
    let root = stack.node(ROOT).expect("the root");
    stack.lookup(&root, OsStr::new("folder")).expect("a look-up").expect("the folder").0
}

fn union(c: &mut Criterion) {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let dir = tempfile::tempdir_in(place).expect("a temporary folder");
    let layers = layers(dir.path());
    let mut group = c.benchmark_group("union");
    group.bench_function("open and first look-up", |b| b.iter(|| folder(&open(&layers))));
    let stack = open(&layers);
    let parent = folder(&stack);
    assert_eq!(
        stack.list(&parent).expect("a listing").len(),
        2 + 1 + 900,
        "two dots, one folder, 1,000 files less 100"
    );
    group.bench_function("list 900 of 5 layers", |b| b.iter(|| stack.list(&parent).expect("a listing")));
    for (what, name, there) in [
        ("top", "file1", true),
        ("bottom", "file850", true),
        ("hidden", "file950", false),
        ("absent", "nothing", false),
    ] {
        group.bench_function(format!("look up: {what}"), |b| {
            b.iter(|| {
                let found = stack.lookup(&parent, OsStr::new(name)).expect("a look-up");
                assert_eq!(found.is_some(), there);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, union);
criterion_main!(benches);
