#!/usr/bin/env bash
# faults.sh [FAULT...] - are the model's tests any good? Faults are put into the union code, one at a time, and each must be found.
#
# A fault is a patch in faults/: its first line says what is wrong then. It is applied to a copy of the tree (nothing of it can be
# shipped), ovl-mount is built there, and tests/model runs it, as root and then without root, until it finds the fault or has done
# VENEER_OPERATIONS operations each (6,000 unless told). A table: the fault, by whom found, after how many operations, what was
# seen. Fails where one is not found, does not build, or no longer applies. Run it as root; about half a minute a fault.
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
export CARGO_TERM_COLOR=never VENEER_SHRINK_SECONDS=0 VENEER_OPERATIONS=${VENEER_OPERATIONS:-6000}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
tests=$(cargo test --test model --no-run 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
[ -x "$tests" ] || { cargo test --test model --no-run; exit 1; }
# A copy of its own, which no other cargo replaces meanwhile; below the target folder, where an ordinary user finds it too.
mkdir -p "$target/faults"; cp "$tests" "$target/faults/model"; cp "$target/CACHEDIR.TAG" "$target/faults/"; tests=$target/faults/model
copy=$(mktemp -d /tmp/veneer-faults.XXXXXX); trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
  tar -c --null -T - | tar -x -C "$copy"
mkdir "$copy/.was"
[ $# -gt 0 ] || set -- $(cd "$here/faults" && ls -- *.patch | sed 's/\.patch$//')

build() { (cd "$copy" && CARGO_TARGET_DIR=$target/faults cargo build --quiet --bin ovl-mount 2>"$copy/.said") || { cat "$copy/.said"; return 1; }; }
found() { # TEST: runs it; where it fails, a line with the number of operations and what was wrong
  local said code=0
  said=$(VENEER_OVL_MOUNT=$target/faults/debug/ovl-mount timeout 300 "$tests" --exact "$1" --nocapture 2>&1) || code=$?
  [ $code != 0 ] || return 1
  [ $code != 124 ] || { echo "? hangs"; return 0; }
  sed -n 's/^both drivers[^:]*: \([0-9]*\) operations in .*/\1/p' <<<"$said" | head -1 | tr '\n' ' '
  sed -n 's/^both drivers[^:]*: seed [0-9]* after [0-9]* operations: \(.*\)/\1/p' <<<"$said" | head -1 | cut -c1-150
}
build || { echo "faults.sh: the tree does not build as it is" >&2; exit 1; }
bad=0
echo "| fault | found by | after operations | seen |"; echo "|---|---|---|---|"
for fault; do
  patch=$here/faults/$fault.patch
  what=$(head -1 "$patch")
  files=$(sed -n 's/^--- a\///p' "$patch")
  (cd "$copy" && cp --parents $files .was/)
  row() { echo "| $fault: $what | $1 | $2 | $3 |"; }
  if ! patch -d "$copy" -p1 --quiet --no-backup-if-mismatch --forward <"$patch" >/dev/null 2>&1; then
    row "the patch no longer applies" - -; bad=$((bad + 1))
  elif ! said=$(build); then
    row "it does not build" - "$(grep -m1 ^error <<<"$said")"; bad=$((bad + 1))
  elif seen=$(found both_drivers_in_turns_on_one_upper_show_what_the_model_says); then
    row "root" "${seen%% *}" "${seen#* }"
  elif seen=$(found without_root_both_drivers_show_what_the_model_says); then
    row "without root" "${seen%% *}" "${seen#* }"
  else
    row "NOBODY" - -; bad=$((bad + 1))
  fi
  # As it was: with fresh times, or cargo would not look.
  (cd "$copy/.was" && touch $files && cp --parents $files "$copy")
done
[ $bad = 0 ] || { echo "$bad not found" >&2; exit 1; }
