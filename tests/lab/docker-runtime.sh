#!/bin/bash
# docker-runtime.sh RUNTIME IMAGE.tar FOLDER - what does Debian's dockerd do on this OCI runtime?
#
# As root; in network and mount namespaces of its own, with a /run of its own, so that the machine sees nothing of it. IMAGE.tar is
# busybox:latest as a docker-archive; everything lies in FOLDER, an empty folder of the caller's. On stdout comes a protocol: each
# command by a name, what it printed, its exit code. Two runtimes that are each as good as the other give the same. What was said on
# stderr stands in FOLDER/stderr, the daemon's log in FOLDER/log. Needs dockerd, docker, python3.
set -uo pipefail
[ "${LAB_INNER:-}" ] || { export LAB_INNER=1; exec unshare -n -m -p -f --mount-proc --kill-child --propagation private "$0" "$@"; }
lab=$(dirname "$(readlink -f "$0")")
runtime=$(command -v "$1") image=$(readlink -f "$2") w=$(readlink -f "$3")
parent=/${LAB_CGROUP:-veneer-docker}
mount -t tmpfs run /run; mkdir -m 1777 /run/lock
ip link set lo up
export HOME=$w DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$w/docker-config
mkdir -p "$w/data" "$w/v" "$DOCKER_CONFIG"
echo '{}' >"$w/daemon.json"
dockerd --config-file "$w/daemon.json" --data-root "$w/data" --exec-root /run/docker --pidfile /run/docker.pid -H "$DOCKER_HOST" \
  --iptables=false --ip6tables=false --bridge=none --ip-forward=false --oom-score-adjust 0 --cgroup-parent "$parent" --default-ulimit nofile=1024:1024 \
  --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2 --add-runtime "tested=$runtime" --default-runtime tested >"$w/log" 2>&1 </dev/null &
daemon=$!
clean() {
  docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
  kill "$daemon" 2>/dev/null; wait "$daemon" 2>/dev/null
  find /sys/fs/cgroup/*"$parent" -depth -type d -exec rmdir {} + 2>/dev/null
  return 0
}
trap "rc=\$?; clean || :; exit \$rc" EXIT
for i in $(seq 300); do docker version >/dev/null 2>&1 && break; kill -0 "$daemon" || break; sleep 0.1; done
docker load -qi "$image" >/dev/null 2>"$w/stderr" || { tail -5 "$w/log" "$w/stderr" >&2; exit 1; }

exec 3>"$w/stderr"
. "$lab/steps.sh"
d() { docker "$@"; }
run() { docker run --rm --network none "$@"; }
tty() { "$lab/terminal.py" "$@"; }
sh_() { local o=(); while [ "$1" != -- ]; do o+=("$1"); shift; done; shift; run "${o[@]}" busybox sh -c "$1"; }

t runtime bash -c "docker info -f '{{.DefaultRuntime}} {{.RuncCommit.ID}}' | cut -d' ' -f1"
t hello sh_ -- 'echo hello; echo pid $$; exit 7'
t not-found run busybox no-such-program
t not-found-by-path run busybox /no/such/program
t not-executable run busybox /etc/passwd
t a-folder run busybox /etc
t folder-made run -w /no/such/folder busybox pwd
t killed sh_ -- 'kill -9 $$'
t user sh_ -u 12:34 -w /tmp -e A=b -- 'id; pwd; echo $A'
t stdin bash -c 'echo typed | docker run --rm -i --network none busybox cat'
t hostname sh_ --hostname boxed -- 'hostname'
t capabilities sh_ --cap-drop all --cap-add chown -- 'grep ^Cap /proc/self/status'
t all-capabilities sh_ -- 'grep ^Cap /proc/self/status'
t no-new-privileges sh_ --security-opt no-new-privileges -- 'grep NoNewPrivs /proc/self/status'
t seccomp sh_ -- 'grep ^Seccomp: /proc/self/status; unshare -m true || echo denied'
t unconfined sh_ --security-opt seccomp=unconfined -- 'grep ^Seccomp: /proc/self/status'
t read-only sh_ --read-only --tmpfs /tmp -- 'touch /x; touch /tmp/x && echo tmp'
t volume sh_ -v "$w/v:/v:ro" -- 'touch /v/x || echo refused'
t named-volume sh_ -v made:/v -- 'echo x >/v/y; cat /v/y'
t mounts sh_ -- "awk '{print \$2, \$3}' /proc/mounts | sed 's/^\\/ .*/\\/ root/; s/devtmpfs/tmpfs/' | grep -v unified | sort"
t masked sh_ -- 'cat /proc/kcore | wc -c; ls /proc/acpi /sys/firmware | wc -l; echo 0 >/proc/sysrq-trigger || echo read-only'
t devices sh_ -- 'ls /dev; echo x >/dev/null; head -c 3 /dev/zero | wc -c'
t init sh_ --init -- 'cat /proc/1/comm; exit 3'
t mounts-itself sh_ --cap-add sys_admin --security-opt seccomp=unconfined --security-opt apparmor=unconfined -- 'mkdir /mnt; mount -t tmpfs none /mnt && echo mounted'
t sysctl sh_ --sysctl net.ipv4.ip_forward=1 -- 'cat /proc/sys/net/ipv4/ip_forward'
t host-namespaces sh_ --pid host --ipc host --uts host -- '[ $$ != 1 ] && echo not one'
t terminal typed 33 77 docker run --rm -it --network none busybox
t terminal-interrupt tty 24 80 '\x03' docker run --rm -it --network none busybox sh -c 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done'

t detached docker run -d --network none --name one busybox sh -c 'trap "echo told; exit 4" TERM; echo out; echo err >&2; sleep 1000 & wait'
until_ bash -c 'docker logs one | grep -q out'
t logs d logs one
t inspect d inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' one
t exec d exec one sh -c 'echo in; cat /proc/1/comm; exit 6'
t exec-stdin bash -c 'echo typed | docker exec -i one cat'
t exec-user d exec -u 5:6 -w /tmp -e X=y one sh -c 'id -u; id -g; pwd; echo $X'
t exec-not-found d exec one no-such-program
t exec-not-executable d exec one /etc/passwd
t exec-no-folder d exec -w /no/such one true
t exec-terminal typed 21 43 docker exec -it one
t exec-detached d exec -d one sh -c 'echo x >/detached'
until_ docker exec one test -e /detached
t top bash -c 'docker top one -o pid,comm | grep -v sleep | wc -l'
t pause d pause one
t paused d inspect -f '{{.State.Status}}' one
t exec-paused d exec one true
t unpause d unpause one
t stats d stats --no-stream --format '{{.Name}} {{.PIDs}}' one
t update d update --memory 64m --memory-swap -1 --cpus 0.25 one
t updated d exec one cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us
t stop d stop one
t stopped d inspect -f '{{.State.Status}} {{.State.ExitCode}}' one
t logs-at-the-end d logs one
t exec-stopped d exec one true
t restart bash -c 'docker start one >/dev/null && docker exec one echo again && docker restart -t 1 one && docker exec one echo and again'
t kill d kill -s KILL one
t wait d wait one
t remove d rm one
t attach bash -c 'docker create --name three --network none busybox sh -c "echo attached; exit 8" >/dev/null; docker start -a three; echo $?; docker rm three'
t remove-force bash -c 'docker run -d --name four --network none busybox sleep 1000 >/dev/null; docker pause four; docker rm -f four'
health() { [ "$(docker inspect -f '{{.State.Health.Status}}' sick)" = "$1" ]; }
healthcheck() {
  docker run -d --name sick --network none --health-cmd "test -e /well" --health-interval 300ms --health-retries 1 busybox sleep 1000
  until_ health unhealthy && echo sick
  docker exec sick touch /well
  until_ health healthy && echo well
  docker rm -f sick
}
t healthcheck healthcheck
# Of the word OOMKilled dockerd's two listeners for "killed" and "ended" make a race; the exit code is certain.
t memory sh_ --memory 32m -- 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
t memory-kills bash -c 'docker run --name eater --network none --memory 8m busybox tail /dev/zero; echo $?; docker rm eater'
t pids sh_ --pids-limit 5 -- '(for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done); cat /sys/fs/cgroup/pids/pids.max'
t cpus sh_ --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 -- 'cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus'
t device sh_ --device /dev/zero:/dev/nought -- 'head -c 2 /dev/nought | wc -c; mknod /tmp/k c 1 11 && cat /tmp/k || echo denied'
t commit bash -c 'docker run --name made --network none busybox sh -c "echo kept >/kept"; docker commit made made >/dev/null; docker run --rm --network none made cat /kept; docker rm made'
printf 'FROM busybox\nRUN echo built >/built && id -u\nUSER nobody\nRUN id -u\nCMD ["cat","/built"]\n' >"$w/v/Dockerfile"
t build bash -c "DOCKER_BUILDKIT=0 docker build --network none -t built '$w/v' 2>&1 | grep -vE 'Running in|^ --->|^Sending|^Removing|DEPRECATED|legacy|Install the|docs.docker|^\$'"
t built run built
t join bash -c 'docker run -d --name first --network none --ipc shareable busybox sleep 1000 >/dev/null; docker run --rm --network container:first --pid container:first --ipc container:first busybox cat /proc/1/comm; docker rm -f first'
t copy bash -c 'docker run -d --name box --network none busybox sleep 1000 >/dev/null; docker cp /etc/hostname box:/there; docker exec box ls /there; docker diff box | grep there; docker rm -f box'
t left d ps -aq
