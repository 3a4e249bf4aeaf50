# steps.sh - what the protocols of this folder are written with; to be sourced, with descriptor 3 open for what is said on stderr.

# t NAME COMMAND...: one step of the protocol. What differs from run to run is replaced. LAB_TIMES=FILE also keeps when it began.
t() {
  local what=$1 out code; shift
  echo "## $what: $*" >&3
  [ -z "${LAB_TIMES:-}" ] || echo "$EPOCHREALTIME $what" >>"$LAB_TIMES"
  out=$("$@" 2>&3 </dev/null); code=$?
  out=$(sed -E 's/\b[0-9a-f]{64}\b/ID/g; s/\b[0-9a-f]{12}\b/ID/g; s/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/MAC/g; s/veth[0-9a-f]+/VETH/g; s/cni-[0-9a-f-]{36}/NETNS/g' <<<"$out")
  printf '## %s: %s\n%s\n' "$what" "$code" "$out"
}
# until_ COMMAND...: waits until it succeeds, at most a minute.
until_() {
  local end=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { echo "never: $*"; return 1; }
    sleep 0.1
  done
}
# typed ROWS COLS COMMAND...: a shell that COMMAND starts and that does what it reads; it says when the terminal has that size, and ends.
shell='echo ready; while read -r l; do eval "$l"; done'
typed() {
  local size="$1 $2"; shift 2
  # shellcheck disable=SC2086
  "$lab/terminal.py" $size "until stty size 2>/dev/null | grep \"$size\"; do sleep 0.1; done; tty; exit 5\\n" "$@" sh -c "$shell"
}
