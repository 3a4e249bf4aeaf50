#!/bin/bash
# containerd-runtime.sh RUNTIME IMAGE.tar FOLDER - what does Debian's containerd do on this OCI runtime?
#
# As root; in namespaces of its own and with a /run of its own, so that the machine sees nothing of it and nothing stays behind. IMAGE.tar
# is busybox:latest as a docker-archive; everything lies in FOLDER, an empty folder of the caller's. On stdout comes a protocol: each
# command by a name, what it printed, its exit code. Two runtimes that are each as good as the other give the same. What was said
# on stderr stands in FOLDER/stderr, the daemon's log in FOLDER/log. Needs containerd with its client (/usr/bin/ctr), python3.
set -uo pipefail
[ "${LAB_INNER:-}" ] || { export LAB_INNER=1; exec unshare -n -m -p -f --mount-proc --kill-child --propagation private "$0" "$@"; }
lab=$(dirname "$(readlink -f "$0")")
runtime=$(command -v "$1") image=$(readlink -f "$2") w=$(readlink -f "$3") parent=/${LAB_CGROUP:-veneer-containerd}
mount -t tmpfs run /run; mkdir -m 1777 /run/lock; mkdir /run/runtime
cat >"$w/config.toml" <<C
version = 2
root = "$w/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "/run/containerd/containerd.sock"
C
containerd -c "$w/config.toml" >"$w/log" 2>&1 </dev/null &
daemon=$!
clean() { kill "$daemon" 2>/dev/null; find /sys/fs/cgroup/*"$parent" -depth -type d -exec rmdir {} + 2>/dev/null; return 0; }
trap "rc=\$?; clean || :; exit \$rc" EXIT
c() { /usr/bin/ctr "$@"; }
for i in $(seq 300); do c version >/dev/null 2>&1 && break; kill -0 "$daemon" || break; sleep 0.1; done
c images import "$image" >/dev/null 2>"$w/stderr" || { tail -5 "$w/log" "$w/stderr" >&2; exit 1; }
ref=$(c images ls -q | head -1)

exec 3>"$w/stderr"
. "$lab/steps.sh"
n=0
# run OPTIONS -- COMMAND: a container of a new name
run() {
  local o=(); while [ "$1" != -- ]; do o+=("$1"); shift; done; shift; n=$((n + 1))
  /usr/bin/ctr run --runc-binary "$runtime" --runc-root /run/runtime --cgroup "$parent/c$BASHPID" "${o[@]}" "$ref" "c$BASHPID" "$@"
}

t hello run --rm -- sh -c 'echo hello; echo pid $$; exit 7'
t not-found run --rm -- no-such-program
grep -o 'exec.*executable file not found in $PATH' "$w/stderr" | head -1 | grep -o 'executable.*'
t environment run --rm --env A=b --cwd /tmp -- sh -c 'echo $A; pwd'
t read-only run --rm --read-only -- sh -c 'touch /x || echo refused'
t mount run --rm --mount "type=bind,src=$w,dst=/v,options=rbind:ro" -- sh -c 'touch /v/x || echo refused'
t cpus run --rm --cpus 0.5 -- true
t seccomp run --rm --seccomp -- grep ^Seccomp: /proc/self/status
t capabilities run --rm --cap-drop CAP_KILL -- grep ^CapBnd /proc/self/status
t terminal typed 33 77 /usr/bin/ctr run --rm -t --runc-binary "$runtime" --runc-root /run/runtime --cgroup "$parent/tty" "$ref" tty
t detached /usr/bin/ctr run -d --memory-limit 33554432 --cpu-quota 50000 --runc-binary "$runtime" --runc-root /run/runtime --cgroup "$parent/one" "$ref" one sh -c 'trap "exit 4" TERM; sleep 1000 & wait'
t limits cat "/sys/fs/cgroup/memory$parent/one/memory.limit_in_bytes" "/sys/fs/cgroup/cpu$parent/one/cpu.cfs_quota_us"
t task bash -c "ctr() { /usr/bin/ctr \"\$@\"; }; ctr task ls | awk '{print \$1, \$3}'"
t exec c task exec --exec-id e1 one sh -c 'cat /proc/1/comm; exit 6'
t exec-user c task exec --exec-id e2 --user 5 --cwd /tmp one sh -c 'id -u; pwd'
t exec-not-found c task exec --exec-id e3 one no-such-program
t exec-terminal typed 21 43 /usr/bin/ctr task exec -t --exec-id e4 one
t exec-detached c task exec -d --exec-id e5 one sh -c 'echo x >/detached'
until_ c task exec --exec-id "u$RANDOM" one test -e /detached
# The head, the shell and its sleep; what was executed before may be still going.
three() { [ "$(/usr/bin/ctr task ps one | wc -l)" = 3 ]; }
t pids until_ three
t pause c task pause one
t paused bash -c "/usr/bin/ctr task ls | awk '{print \$1, \$3}'"
t resume c task resume one
t metrics bash -c "/usr/bin/ctr task metrics one | awk '/memory.usage_in_bytes|pids.current/ {print \$1, (\$2 > 0)}'"
t kill-user c task kill -s SIGUSR2 nothing
t kill c task kill -s SIGTERM one
until_ bash -c "/usr/bin/ctr task ls | grep -q STOPPED"
t stopped bash -c "/usr/bin/ctr task ls | awk '{print \$1, \$3}'"
t delete bash -c "/usr/bin/ctr task rm one; echo \$?"
t remove c container rm one
t killed /usr/bin/ctr run -d --runc-binary "$runtime" --runc-root /run/runtime --cgroup "$parent/two" "$ref" two sleep 1000
t kill-hard c task kill -s SIGKILL two
until_ bash -c "/usr/bin/ctr task ls | grep -q STOPPED"
t remove-both bash -c '/usr/bin/ctr task rm two; /usr/bin/ctr container rm two; /usr/bin/ctr container ls -q'
t left ls /run/runtime/default
