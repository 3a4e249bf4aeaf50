#!/bin/bash
# podman-slots.sh [RUNTIME] [MOUNT_PROGRAM] [CNI_DIR] - does Debian's podman run containers on these parts?
#
# Without arguments the parts are the incumbents (runc, fuse-overlayfs, the CNI plugins): the script must pass with them before
# it says anything about ours. Run it as root; everything happens in a network and mount namespace of its own.
# Needs podman, runc, fuse-overlayfs, busybox-static, containernetworking-plugins, iptables, curl.
set -eu
[ "${SLOTS_INNER:-}" ] || { export SLOTS_INNER=1; exec unshare -n -m --propagation private "$0" "$@"; }
runtime=${1:-runc} mountprog=${2:-$(command -v fuse-overlayfs)} cni=${3:-/usr/lib/cni}
w=$(mktemp -d /tmp/veneer-slots.XXXXXX)
podman_() {
  podman --root "$w/root" --runroot "$w/run" --storage-driver overlay --storage-opt "overlay.mount_program=$mountprog" \
    --runtime "$runtime" "$@"
}
clean() {
  podman_ rm -fat1 >/dev/null 2>&1; umount -R "$w" 2>/dev/null; rm -rf --one-file-system "$w"
  find /sys/fs/cgroup/*/libpod_parent -depth -type d -exec rmdir {} + 2>/dev/null   # podman leaves them; only empty ones go
}
trap 'clean || :' EXIT

# A default route that leads nowhere: masquerading wants one.
ip link set lo up
ip link add up0 type veth peer name up1; ip addr add 10.9.9.1/24 dev up0; ip link set up0 up; ip link set up1 up
ip route add default via 10.9.9.2 dev up0
# podman and crun refuse a cgroup tree of both versions
[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified

mkdir -p "$w/net.d"; cat >"$w/net.d/10-slot.conflist" <<J
{"cniVersion":"0.4.0","name":"slot","plugins":[
 {"type":"bridge","bridge":"slot0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local",
  "routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.99.0.0/16"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
J
cat >"$w/containers.conf" <<C
[containers]
default_ulimits = ["nofile=4096:4096","nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["$cni"]
network_config_dir = "$w/net.d"
C
export CONTAINERS_CONF=$w/containers.conf

mkdir -p "$w"/bb/{bin,tmp,etc}; cp /bin/busybox "$w/bb/bin/"; echo root:x:0:0::/:/bin/sh >"$w/bb/etc/passwd"
for a in sh echo sleep httpd id ls cat ip; do ln -s busybox "$w/bb/bin/$a"; done
tar -C "$w/bb" -c . | podman_ import -q - localhost/bb >/dev/null

[ "$(podman_ run --rm --network none localhost/bb echo hi)" = hi ]; echo "run: ok"
podman_ run -d --name web --network slot -p 127.0.0.1:8087:80 localhost/bb \
  sh -c 'echo page >/tmp/index.html; httpd -f -h /tmp -p 80' >/dev/null
[ "$(podman_ exec web echo in)" = in ]; echo "exec: ok"
curl -s -m 5 --retry 5 --retry-connrefused http://127.0.0.1:8087/ | grep -qx page; echo "published port: ok"
podman_ pause web >/dev/null; podman_ unpause web >/dev/null; podman_ stop -t 1 web >/dev/null 2>&1; echo "pause, stop: ok"
podman_ commit -q web localhost/bb2 >/dev/null
podman_ run --rm --network none localhost/bb2 cat /tmp/index.html | grep -qx page; echo "commit: ok"
