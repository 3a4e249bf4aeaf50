#!/bin/sh
# Fuzzes what reads strangers' archives, one target after the other, and keeps what it finds.
#
#   tests/long/fuzz.sh [SECONDS a target, default 720] [TARGETS, default all]
#
# Needs a C++ compiler (libFuzzer is built from source) and root (the target `unpack` has a mount namespace of its own). Inputs are kept in
# target/fuzz/corpus, what crashes in target/fuzz/found: run the target's program on such a file to see it again, mend, and keep the input
# as a test. Prints for each target executions and coverage (edges and features, as libFuzzer counts them).
set -eu
cd "$(dirname "$0")/../../fuzz"
seconds=${1:-720}
[ $# -gt 0 ] && shift
targets=${*:-archive records paths unpack against_crate_tar}
top=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
mkdir -p "$top/found"
rustc --edition 2024 -o "$top/seeds" targets/seeds.rs
"$top/seeds" "$top/corpus"
# What cargo-fuzz passes, but for the address sanitizer, which needs a nightly compiler: there is no unsafe code in here to watch.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$top/build"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --release --target "$host" --bins
bin="$CARGO_TARGET_DIR/$host/release"
code=0
for target in $targets; do
    echo "== $target, $seconds seconds"
    unshare --mount nice -n 19 "$bin/$target" "$top/corpus/$target" -artifact_prefix="$top/found/$target-" -max_total_time="$seconds" \
        -max_len=8192 -timeout=10 -rss_limit_mb=512 -print_final_stats=1 -verbosity=1 >"$top/$target.log" 2>&1 || code=1
    grep -E '^#.* (DONE|cov:)' "$top/$target.log" | tail -1
    grep -E '^stat::(number_of_executed_units|peak_rss_mb)|^SUMMARY|panicked' "$top/$target.log" || true
done
exit $code
