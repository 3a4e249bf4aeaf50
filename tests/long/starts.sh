#!/usr/bin/env bash
# starts.sh [STARTS] [NSRUN] - starts one container after the other and counts, each tenth of them, what may pile up: mounts, processes, this
# shell's descriptors, folders of state, groups, network namespaces and other objects of the kernel, its unreclaimable memory. As root;
# busybox (static) as root file system; everything in mount and pid namespaces of its own. Ends with 1 where something is left.
set -euo pipefail
if [ -z "${INNER:-}" ]; then
  here=$(dirname "$(readlink -f "$0")"); starts=${1:-1000}; nsrun=${2:-}
  if [ -z "$nsrun" ]; then (cd "$here/../.." && cargo build -q --release --bin nsrun); nsrun=${CARGO_TARGET_DIR:-$here/../../target}/release/nsrun; fi
  INNER=1 exec unshare -m -p -f --mount-proc --propagation private "$0" "$starts" "$(readlink -f "$nsrun")"
fi
starts=$1 nsrun=$2 step=$((($1 + 9) / 10)) id=veneer-starts-$$-$RANDOM
work=$(mktemp -d /tmp/veneer-starts.XXXXXX); trap 'rm -rf --one-file-system "$work"' EXIT
mkdir -p "$work/rootfs/bin" "$work/state"; cp "$(command -v busybox)" "$work/rootfs/bin/true"
(cd "$work" && "$nsrun" spec && sed -i 's/"terminal": true/"terminal": false/' config.json)
python3 - "$work/config.json" "$id" <<'P'
import json, sys
file, name = sys.argv[1:]
config = json.load(open(file))
config["process"].update(args=["/bin/true"], terminal=False)
config["linux"]["cgroupsPath"] = f"/{name}/c"
json.dump(config, open(file, "w"))
P
objects() { awk -v n="$1" '$1 == n {print $2}' /proc/slabinfo; }
counts() { # what must be the same at the end
  set -- /proc/[0-9]*
  echo "$(wc -l </proc/self/mountinfo) $# $(ls /proc/$$/fd | wc -l) $(ls "$work/state" | wc -l) $(find /sys/fs/cgroup -maxdepth 3 -type d -name "$id" 2>/dev/null | wc -l)"
}
line() {
  # shellcheck disable=SC2046
  printf '%7s %8s %7s %5s %4s %6s %7s %7s %8s %8s %9s %7s\n' "$1" $(counts) "$(objects net_namespace)" "$(objects pid_namespace)" "$(objects mnt_cache)" "$(objects task_struct)" \
    "$(awk '/^SUnreclaim/{print $2}' /proc/meminfo)" "$2"
}
printf '%7s %8s %7s %5s %4s %6s %7s %7s %8s %8s %9s %7s\n' starts mounts procs fds state groups net_ns pid_ns mnt_cache tasks slab_kB us/start
before=$(counts); line 0 -
done=0
while [ $done -lt "$starts" ]; do
  t=$(date +%s%N); n=0
  while [ $n -lt $step ] && [ $done -lt "$starts" ]; do "$nsrun" --root "$work/state" run -b "$work" c </dev/null; n=$((n + 1)) done=$((done + 1)); done
  line $done $((($(date +%s%N) - t) / 1000 / n))
done
sleep 3; line settled -; after=$(counts)
[ "$before" = "$after" ] || { echo "left: $before before, $after after" >&2; exit 1; }
