#!/usr/bin/env bash
# linking.sh [ROUNDS] - start time and size of the program linked dynamically, as static-pie and as static at a fixed address.
# Builds the release profile once for each into target/linking (takes minutes), then spawns them in turn. Beside ours: a C program
# that does nothing, both ways, as the floor. CARGO_FLAGS adds options to cargo build, e.g. "--config profile.release.lto=\"fat\"".
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."; rounds=${1:-400}
triple=$(rustc -vV | sed -n 's/^host: //p'); out=${CARGO_TARGET_DIR:-target}/linking; mkdir -p "$out"
build() { # NAME RUSTFLAGS
  RUSTFLAGS=$2 cargo build -q --release --bin ctr --target "$triple" --target-dir "$out/$1" ${CARGO_FLAGS:-}
  cp "$out/$1/$triple/release/ctr" "$out/ctr-$1"; strip -o "$out/stripped" "$out/ctr-$1"
  printf '%-12s %8d bytes stripped, %6d relocations\n' "$1" "$(stat -c %s "$out/stripped")" "$(readelf -rW "$out/ctr-$1" | grep -c 'R_' || :)"
}
build dynamic "-C target-feature=-crt-static"
build static-pie "-C target-feature=+crt-static"
build static "-C target-feature=+crt-static -C relocation-model=static"
gcc -O2 -o "$out/spawn" benches/compare/spawn.c
echo 'int main(void) { return 0; }' >"$out/nothing.c"; gcc -O2 -o "$out/nothing" "$out/nothing.c"; gcc -O2 -static -o "$out/nothing-static" "$out/nothing.c"
"$out/spawn" "$rounds" "C dynamic=$out/nothing" "C static=$out/nothing-static" \
  "ctr dynamic=$out/ctr-dynamic --version" "ctr static-pie=$out/ctr-static-pie --version" "ctr static=$out/ctr-static --version" \
  "nsrun dynamic=$out/ctr-dynamic nsrun --version" "nsrun static-pie=$out/ctr-static-pie nsrun --version" "nsrun static=$out/ctr-static nsrun --version"
