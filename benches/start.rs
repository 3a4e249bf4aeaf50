//! Starting programs, from `posix_spawn` to their end: `cargo build --release && cargo bench -p benches --bench start`.
//!
//! The floor is `/bin/true` itself; what is above it is ours. Needs root for the namespaces, and the programs built beside the
//! bench (it takes those of its own target folder, and says so where they are missing).

use criterion::{Criterion, criterion_group, criterion_main};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program `name` of the same target folder as this bench.
fn program(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    own.ancestors().skip(2).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn run(program: &PathBuf, args: &[&str]) {
    let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|s| s.success()), "{} {args:?}", program.display());
}

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("start");
    group.bench_function("floor: true", |b| b.iter(|| run(&PathBuf::from("/bin/true"), &[])));
    let (Some(nsrun), Some(ctr)) = (program("nsrun"), program("ctr")) else {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"start: build the programs first, in the same profile\n",
        );
        return;
    };
    group.bench_function("ctr --version", |b| b.iter(|| run(&ctr, &["--version"])));
    group.bench_function("nsrun -- true", |b| b.iter(|| run(&nsrun, &["--", "/bin/true"])));
    if rustix::process::geteuid().is_root() {
        let namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--", "/bin/true"];
        group.bench_function("nsrun, five namespaces", |b| b.iter(|| run(&nsrun, &namespaces)));
    }
    group.finish();
}

criterion_group!(benches, start);
criterion_main!(benches);
