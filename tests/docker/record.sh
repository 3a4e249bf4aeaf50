#!/bin/bash
# record.sh [docker|podman] - writes into tests/docker/lines/ what docker (or podman, for the sections marked so) does with each line.
#
# As root. The engine runs in network, mount and pid namespaces of its own with a /run of its own: the machine sees nothing of it, and
# nothing is left. DOCKER_LINES=ps,run/rm records only sections whose `file/name` begins with one of these. Needs dockerd and
# docker's client, or podman and crun. What was recorded last: client 28.2.2 and dockerd 20.10.24; podman 4.3.1.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
export DOCKER_RECORD=${1:-docker}
if [ -z "${RECORD_INNER:-}" ]; then
  test=$(cargo test -p veneer --test docker --no-run --message-format json 2>/dev/null | sed -n 's/.*"name":"docker".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
  image=${VENEER_FIXTURES:-${CARGO_TARGET_DIR:-target}/fixtures}/busybox/docker.tar
  tests/images/make.sh "$(dirname "$(dirname "$image")")" busybox
  export RECORD_INNER=1 RECORD_TEST=$test RECORD_IMAGE=$image
  exec unshare -n -m -p -f --mount-proc --kill-child --propagation private "$0" "$@"
fi
w=$(mktemp -d /tmp/veneer-record.XXXXXX) parent=/veneer-record
mount -t tmpfs run /run; mkdir -m 1777 /run/lock
ip link set lo up
export HOME=$w LC_ALL=C TZ=UTC
clean() {
  docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
  [ -z "${daemon:-}" ] || { kill "$daemon"; wait "$daemon"; } 2>/dev/null
  umount -R "$w" 2>/dev/null; find /sys/fs/cgroup/*"$parent" -depth -type d -exec rmdir {} + 2>/dev/null
  rm -rf "$w"
}
trap 'clean || :' EXIT
if [ "$DOCKER_RECORD" = docker ]; then
  export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$w/config
  mkdir -p "$w/data" "$DOCKER_CONFIG"; echo '{}' >"$w/daemon.json"
  # The limits of processes and the bridge's IPv6 rules are what this needs to start where root is not almighty.
  dockerd --config-file "$w/daemon.json" --data-root "$w/data" --exec-root /run/docker --pidfile /run/docker.pid -H "$DOCKER_HOST" \
    --ip6tables=false --oom-score-adjust 0 --cgroup-parent "$parent" --default-ulimit nofile=1024:1024 \
    --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2 >"$w/log" 2>&1 </dev/null &
  daemon=$!
  for _ in $(seq 300); do docker version >/dev/null 2>&1 && break; kill -0 "$daemon" || { tail "$w/log"; exit 1; }; sleep 0.1; done
else
  [ -d /sys/fs/cgroup/unified ] && mount -t tmpfs none /sys/fs/cgroup/unified    # podman and crun refuse a hybrid tree
  printf '[containers]\ndefault_ulimits = ["nofile=1024:1024","nproc=4096:4096"]\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >"$w/containers.conf"
  mkdir "$w/bin"
  printf '#!/bin/sh\nexec podman --root %s/root --runroot /run/podman --storage-driver overlay --runtime crun "$@"\n' "$w" >"$w/bin/docker"
  chmod 755 "$w/bin/docker"; ln -s docker "$w/bin/podman"
  sed -i "s|exec podman|exec $(command -v podman)|" "$w/bin/docker"
  export CONTAINERS_CONF=$w/containers.conf RECORD_PATH=$w/bin
  docker() { "$w/bin/docker" "$@"; }
fi
docker load -qi "$RECORD_IMAGE" >/dev/null
BUSYBOX=$(docker images -q --no-trunc busybox:latest); export BUSYBOX
"$RECORD_TEST" --exact record --nocapture
