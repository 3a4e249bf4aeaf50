//! The bar: on a terminal, and nowhere else: contract S3, U18.

use crate::bench::Bench;

/// A layer of 800 small files and a big one; `pty CMD` runs it on a terminal of 100 columns and prints what that would show.
const LAYER: &str = r#"
    mkdir in; (cd in; seq 800 | xargs touch); head -c 9000000 /dev/urandom > in/big; tar -C in -cf a.tar .; gzip -1k a.tar
    pty() { script -qec "stty columns 100; $*" log > /dev/null; sed '1d;$d' log | tr '\r' '\n'; }
"#;

#[test]
fn on_a_terminal_bytes_files_and_time_left() {
    testkit::need!("script", "umoci");
    let bench = Bench::new();
    bench.sh(LAYER);
    let shown = bench.sh(&format!("rm -r in a.tar*; {LAYER} pty $UNPACK -C out a.tar.gz"));
    let lines: Vec<&str> = shown.lines().filter(|l| l.contains("unpacking [")).collect();
    assert!(lines.iter().any(|l| l.contains("/8.6") && l.contains(" MiB") && l.contains(" files ")), "{shown}");
    assert!(lines.iter().all(|l| l.trim_start_matches("\u{1b}[2K").chars().count() <= 100), "{shown}");
    // It is gone in the end.
    assert!(shown.trim_end().ends_with("\u{1b}[2K"), "{shown:?}");

    let piped = bench.sh(&format!("rm -r in a.tar* out; {LAYER} pty 'cat a.tar | $UNPACK -C out -'"));
    assert!(piped.contains("unpacking ") && !piped.contains("unpacking ["), "{piped}");

    bench.sh("rm -r out; umoci init --layout img >/dev/null; umoci new --image img:t; umoci raw add-layer --image img:t a.tar");
    let image = bench.sh(&format!("rm -r in a.tar*; {LAYER} pty $UNPACK -C out img"));
    assert!(image.contains("unpacking [") && image.contains("/8."), "{image}");
    // All that is left to read is nothing.
    let again = bench.sh(&format!("rm -r in a.tar*; {LAYER} pty $UNPACK -C out img"));
    assert!(!again.contains("/8."), "{again}");
}

#[test]
fn nowhere_else_and_not_when_quiet() {
    testkit::need!("script");
    let bench = Bench::new();
    let shown = bench.sh(&format!("{LAYER} pty $UNPACK -q -C out a.tar.gz"));
    assert_eq!(shown.trim(), "");
    bench.unpacked("-C out2 a.tar.gz");
    let listed = bench.sh(&format!("rm -r in a.tar*; {LAYER} pty $UNPACK -t a.tar.gz | tail -n 3"));
    assert!(!listed.contains("reading"), "{listed}");
    let listed = bench.sh(&format!("rm -r in a.tar*; {LAYER} pty '$UNPACK -t a.tar.gz > names'; wc -l < names"));
    assert!(listed.contains("reading ["), "{listed}");
}

#[test]
fn ctr_load_has_a_bar_too_and_says_the_same() {
    testkit::need!(root, "script", "umoci");
    let bench = Bench::new();
    let ctr = env!("CARGO_BIN_EXE_ctr");
    bench.sh(&format!("{LAYER} umoci init --layout img >/dev/null; umoci new --image img:t; umoci raw add-layer --image img:t a.tar; tar -C img -cf some.tar ."));
    let shown = bench.sh(&format!(
        "export VENEER_ROOT=$PWD/state VENEER_RUN=$PWD/run; rm -r in a.tar*; {LAYER} pty {ctr} load -i some.tar"
    ));
    assert!(
        shown.contains("loading [") && shown.contains("/8.") && shown.contains(" files ") && !shown.contains("0 B/0 B"),
        "{shown}"
    );
    let piped = |options: &str| {
        bench.sh(&format!("export VENEER_ROOT=$PWD/other VENEER_RUN=$PWD/run; {ctr} load {options} -i some.tar 2>&1"))
    };
    let loaded = piped("");
    assert!(loaded.starts_with("Loaded image") && loaded.lines().count() == 1, "{loaded}");
    assert!(shown.contains(loaded.trim_end()), "{shown}");
    assert_eq!(piped("-q"), loaded);
}
