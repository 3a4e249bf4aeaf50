#!/bin/bash
# podman-runtime.sh RUNTIME BASE.tar FOLDER - what does Debian's podman do on this OCI runtime?
#
# As root or as an ordinary user (below asuser.sh); no network. BASE.tar, a root file system with busybox, becomes the image;
# everything lies in FOLDER, an empty folder of the caller's. On stdout comes a protocol: each command by a name, what it printed, its exit
# code; what differs from run to run is replaced. Two runtimes that are each as good as the other give the same. What was
# said on stderr stands in FOLDER/stderr. Needs podman, conmon, python3, tini (tini-static).
set -uo pipefail
if [ "$(id -u)" = 0 ] && [ -z "${LAB_INNER:-}" ]; then
  # a pid namespace too: whatever happens to this script, nothing of it is left running
  export LAB_INNER=1; exec unshare -n -m -p -f --mount-proc --kill-child --propagation private "$0" "$@"
fi
lab=$(dirname "$(readlink -f "$0")")
runtime=$(command -v "$1") base=$(readlink -f "$2") w=$(readlink -f "$3")
# podman and crun refuse a cgroup tree of both versions
if [ "$(id -u)" = 0 ] && [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi
# another podman's locks lie there under the same name, and its list of what runs in /run
if [ "$(id -u)" = 0 ]; then mount -t tmpfs -o mode=1777 none /dev/shm; mount -t tmpfs none /run; mkdir /run/lock; fi
export TMPDIR=$w/tmp XDG_RUNTIME_DIR=$w/xdg HOME=$w/home CONTAINERS_CONF=$w/containers.conf
export REGISTRIES_CONFIG_PATH=$w/registries.conf CONTAINERS_STORAGE_CONF=$w/storage.conf
mkdir -p "$w"/{tmp,home,context}; mkdir -m 700 "$w/xdg"
name=$(basename "$runtime")
cat >"$w/containers.conf" <<C
[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
init_path = "/usr/bin/tini-static"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "$name"
runtime_supports_json = ["$name"]
runtime_supports_nocgroups = ["$name"]
[engine.runtimes]
$name = ["$runtime"]
C
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\nrootless_storage_path = "%s"\n' "$w/root" "$w/run" "$w/root" >"$w/storage.conf"
: >"$w/registries.conf"
parent=/${LAB_CGROUP:-veneer-podman}

clean() {
  podman rm -fat0 >/dev/null 2>&1
  podman umount -a >/dev/null 2>&1
  # What a user's podman leaves to hold its namespaces, and what belongs to the user's other ids in there.
  if [ "$(id -u)" != 0 ]; then
    podman unshare sh -c 'rm -rf --one-file-system "$1/root" "$1/run" "$1/tmp"' sh "$w" 2>/dev/null
    [ ! -f "$w/xdg/libpod/tmp/pause.pid" ] || kill "$(cat "$w/xdg/libpod/tmp/pause.pid")" 2>/dev/null
  else
    umount "$w/root/overlay" 2>/dev/null
    find /sys/fs/cgroup/*"$parent" -depth -type d -exec rmdir {} + 2>/dev/null
  fi
  return 0
}
trap "rc=\$?; clean || :; exit \$rc" EXIT

exec 3>"$w/stderr"
. "$lab/steps.sh"
p() { podman "$@"; }
limited=("--cgroup-parent=$parent")
[ "$(id -u)" = 0 ] || limited=()
run() { podman run --rm --network none "${limited[@]}" "$@"; }
tty() { "$lab/terminal.py" "$@"; }
# What a shell in a container of its own says
sh_() { local o=(); while [ "$1" != -- ]; do o+=("$1"); shift; done; shift; run "${o[@]}" localhost/base sh -c "$1"; }

podman import -q "$base" localhost/base >/dev/null || exit 1

# --- run ------------------------------------------------------------------------------------------------------------------
t hello sh_ -- 'echo hello; echo pid $$; exit 7'
t not-found run localhost/base no-such-program
t not-found-by-path run localhost/base /no/such/program
t not-executable run localhost/base /etc/passwd
t a-folder run localhost/base /etc
t no-folder run -w /no/such/folder localhost/base pwd
t killed sh_ -- 'kill -9 $$'
t term sh_ -- 'kill -TERM $$; echo still'
t user sh_ -u 12:34 -w /tmp -e A=b -- 'id; pwd; echo $A'
t named-user sh_ -u nobody -- 'id -u'
t stdin bash -c 'echo typed | podman run --rm -i --network none localhost/base cat'
t hostname sh_ --hostname boxed --add-host other:10.0.0.9 -- 'hostname; grep other /etc/hosts'
t namespaces sh_ --ipc private --uts private --cgroupns private -- 'ls /sys/class/net; cat /proc/self/cgroup | grep -c :/$'
t host-namespaces sh_ --pid host --ipc host --uts host -- '[ $$ != 1 ] && echo not one; test -d /proc/1 && echo sees'
t capabilities sh_ --cap-drop all --cap-add chown -- 'grep ^Cap /proc/self/status'
t all-capabilities sh_ -- 'grep ^CapEff /proc/self/status'
t no-new-privileges sh_ --security-opt no-new-privileges -- 'grep NoNewPrivs /proc/self/status'
t seccomp sh_ -- 'grep ^Seccomp: /proc/self/status; unshare -m true || echo denied'
t unconfined sh_ --security-opt seccomp=unconfined -- 'grep ^Seccomp: /proc/self/status'
t ulimit sh_ --ulimit nofile=77:88 -- 'ulimit -n; ulimit -Hn'
t oom sh_ --oom-score-adj 500 -- 'cat /proc/self/oom_score_adj'
t sysctl sh_ --sysctl net.ipv4.ip_forward=1 -- 'cat /proc/sys/net/ipv4/ip_forward'
t read-only sh_ --read-only -- 'touch /x; touch /tmp/x && echo tmp; touch /dev/shm/y && echo shm'
t read-only-no-tmpfs sh_ --read-only --read-only-tmpfs=false -- 'touch /tmp/x || echo refused'
t tmpfs sh_ --tmpfs /scratch:size=64k,mode=700 -- 'grep " /scratch " /proc/mounts | cut -d" " -f2,3; stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=1k count=100 2>/dev/null || echo full'
t volume sh_ -v "$w/context:/v:ro" -- 'touch /v/x || echo refused'
mkdir -p "$w/context/w" && chmod 777 "$w/context/w"
t volume-written sh_ -v "$w/context/w:/v" -- 'echo x >/v/file; cat /v/file'
t mounts sh_ -- "awk '{print \$2, \$3}' /proc/mounts | sed 's/^\\/ .*/\\/ root/' | grep -v unified | sort"
t devices sh_ -- 'ls /dev | grep -v core; echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls -l /dev/fd /dev/stdin | sed "s/.* \\//\\//"'
t masked sh_ -- 'cat /proc/kcore | wc -c; ls /proc/acpi /sys/firmware | wc -l; echo 0 >/proc/sysrq-trigger || echo read-only'
t shm sh_ --shm-size 1m -- 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'
t init sh_ --init -- 'cat /proc/1/comm; echo $$; exit 3'
t privileged sh_ --privileged -- 'mount -t tmpfs none /mnt && echo mounted; grep ^Seccomp: /proc/self/status'
t preserve-fds bash -c 'exec 3<<<third; exec podman run --rm --preserve-fds 1 --network none localhost/base sh -c "cat <&3"' 
t cidfile sh_ --cidfile "$w/tmp/cid" -- 'exit 0'

# --- a terminal -----------------------------------------------------------------------------------------------------------
t terminal typed 33 77 podman run --rm -it --network none localhost/base
t terminal-interrupt tty 24 80 '\x03' podman run --rm -it --network none localhost/base sh -c 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done'
t terminal-no-stdin sh_ -t -- 'test -t 1 && echo is one'

# --- detached: logs, exec, pause, top, stats, kill, stop ---------------------------------------------------------------------
t detached podman run -d --network none --name one --stop-timeout 60 "${limited[@]}" localhost/base sh -c 'trap "echo told; exit 4" TERM; echo out; echo err >&2; sleep 1000 & wait'
until_ bash -c 'podman logs one | grep -q out'
t logs p logs one
t inspect p inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.OCIRuntime}}' one | sed "s/$name/RUNTIME/"
t ps bash -c "podman ps --format '{{.Names}} {{.State}}' | sed 's/Up .*/Up/'"
t exec p exec one sh -c 'echo in; cat /proc/1/comm; exit 6'
t exec-stdin bash -c 'echo typed | podman exec -i one cat'
t exec-user p exec -u 5:6 -w /tmp -e X=y one sh -c 'id -u; id -g; pwd; echo $X'
t exec-not-found p exec one no-such-program
t exec-not-executable p exec one /etc/passwd
t exec-no-folder p exec -w /no/such one true
t exec-killed p exec one sh -c 'kill -9 $$'
t exec-privileged p exec --privileged one sh -c 'grep -c 0000000000000000 /proc/self/status >/dev/null; echo done'
t exec-capabilities p exec one grep ^Cap /proc/self/status
t exec-terminal typed 21 43 podman exec -it one
t exec-detached p exec -d one sh -c 'echo x >/detached'
until_ podman exec one test -e /detached
t exec-detached-did p exec one cat /detached
t top bash -c 'podman top one pid comm user | grep -v sleep'
t top-ps bash -c 'podman top one -eo comm | grep -v sleep'
t pause p pause one
t paused p inspect -f '{{.State.Status}}' one
t exec-paused p exec one true
t unpause p unpause one
t unpaused p inspect -f '{{.State.Status}}' one
t unpause-again p unpause one
t stats p stats --no-stream --format '{{.Name}} {{.PIDs}}' one
t kill-signal p kill -s USR1 no-such-container
t stop p stop one
t stopped p inspect -f '{{.State.Status}} {{.State.ExitCode}}' one
t logs-at-the-end p logs one
t exec-stopped p exec one true
t restart bash -c 'podman start one >/dev/null && podman exec one echo again'
t kill p kill one
t wait p wait one
t remove p rm one
t two podman run -d --network none --name two "${limited[@]}" localhost/base sh -c 'trap "" TERM; sleep 1000'
t stop-stubborn p stop -t 1 two
t attach-start bash -c 'podman create --name three --network none localhost/base sh -c "echo attached; exit 8" >/dev/null; podman start -a three'
t remove-force bash -c 'podman run -d --name four --network none localhost/base sleep 1000 >/dev/null; podman pause four >/dev/null; podman rm -ft0 four >/dev/null; podman ps -aq --filter name=four | wc -l'
t healthcheck bash -c 'podman run -d --name sick --network none --health-cmd "test -e /well" --health-interval disable localhost/base sleep 1000 >/dev/null; podman healthcheck run sick; echo $?; podman exec sick touch /well; podman healthcheck run sick; echo $?; podman rm -ft0 sick >/dev/null'

# --- limits ---------------------------------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ]; then
  group() { sh_ "$@"; }
  t memory group --memory 32m --cgroupns host -- 'cat /sys/fs/cgroup/memory/$(grep :memory: /proc/self/cgroup | cut -d: -f3)/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | head -1'
  t memory-kills run --memory 8m localhost/base sh -c 'exec tail /dev/zero'
  t pids group --pids-limit 5 -- '(for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done); cat /sys/fs/cgroup/pids/pids.max'
  t cpus group --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 -- 'cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus; nproc'
  t cpus-limit group --cpus 0.1 -- 'timeout 1 sh -c "while :; do :; done"; awk "/nr_throttled/ {print (\$2 > 2)}" /sys/fs/cgroup/cpu/cpu.stat'
  t device group --device /dev/zero:/dev/nought -- 'head -c 2 /dev/nought | wc -c; mknod /dev/kmsg2 c 1 11 && cat /dev/kmsg2 || echo denied'
  t blkio group --blkio-weight 300 -- 'echo ran'
  t update bash -c "podman run -d --name limits --network none localhost/base sleep 1000 >/dev/null; podman update --memory 64m --cpus 0.25 limits >/dev/null; echo \$?; podman exec limits cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us; podman rm -ft0 limits >/dev/null"
fi

# --- user namespaces ------------------------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ]; then
  t uidmap sh_ --uidmap 0:100000:5000 --gidmap 0:100000:5000 -- 'id -u; cat /proc/self/uid_map | tr -s " "; touch /x && stat -c %u:%g /x; echo x >/dev/null && echo null'
  t uidmap-exec bash -c 'podman run -d --name mapped --uidmap 0:100000:5000 --network none localhost/base sleep 1000 >/dev/null; podman exec mapped sh -c "id -u; head -1 /proc/self/uid_map | tr -s \" \""; podman rm -ft0 mapped >/dev/null'
else
  t keep-id sh_ --userns keep-id -- '[ "$(id -u)" != 0 ] && echo same; touch /tmp/x && echo wrote'
  t keep-id-tty sh_ -t --userns keep-id -- 'test -t 0 && echo is one'
  t uidmap sh_ --uidmap 0:1:500 --gidmap 0:1:500 -- 'id -u; wc -l </proc/self/uid_map'
  t nomap sh_ --userns nomap -- 'id -u'
fi
t userns-auto sh_ --userns auto:size=300 -- 'id -u; wc -l </proc/self/uid_map'

# --- pods, build, commit ------------------------------------------------------------------------------------------------------
t commit bash -c 'podman run --name made --network none localhost/base sh -c "echo kept >/kept"; podman commit -q made localhost/made >/dev/null; podman run --rm --network none localhost/made cat /kept; podman rm made >/dev/null'
printf 'FROM localhost/base\nRUN echo built >/built && id -u && test $$ -gt 0\nRUN --mount=type=tmpfs,target=/t touch /t/x\nRUN ["/bin/cat","/built"]\nUSER nobody\nRUN id -u\nCMD ["cat","/built"]\n' >"$w/context/Dockerfile"
t build bash -c "podman build --network none --runtime '$runtime' --isolation oci -t localhost/built '$w/context' | grep -v '^-->\\|^ID'"
t built run localhost/built
printf 'FROM localhost/base\nRUN exit 9\n' >"$w/context/Dockerfile"
t build-fails p build -q --network none --runtime "$runtime" --isolation oci "$w/context"
t pod bash -c 'podman pod create --name pod --infra=false >/dev/null && podman run --pod pod --rm --network none localhost/base echo in a pod; podman pod rm -f pod >/dev/null'
ended() { [ "$(podman inspect -f '{{.State.Status}}' "$1")" = exited ]; }
pod_infra() {
  podman pod create --name whole --network none --infra-image localhost/base --infra-command "sleep 1000" >/dev/null
  podman run -d --name member --pod whole localhost/base sleep 1000 >/dev/null
  podman run --rm --pod whole localhost/base sh -c "hostname; ls /sys/class/net"
  podman exec member cat /proc/1/comm
  podman pod pause whole >/dev/null; podman inspect -f "{{.State.Status}}" member; podman pod unpause whole >/dev/null
  podman pod stop -t 1 whole >/dev/null
  # stopped, and then cleaned up by conmon's own podman
  until_ ended member; podman inspect -f "{{.State.ExitCode}}" member
  podman pod rm -f whole >/dev/null; podman pod ps -q | wc -l
}
t pod-infra pod_infra
t join bash -c 'podman run -d --name first --network none localhost/base sleep 1000 >/dev/null; podman run --rm --network container:first --pid container:first --ipc container:first localhost/base sh -c "cat /proc/1/comm"; podman rm -ft0 first >/dev/null'
t left p ps -aq
