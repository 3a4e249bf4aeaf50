#!/bin/bash
# podman-cni.sh PLUGINS BASE.tar FOLDER - what does Debian's podman do with the CNI plugins in the folder PLUGINS?
#
# As root, in network, mount and pid namespaces of its own, with an uplink to a namespace that plays the outside. BASE.tar, a
# root file system with busybox, becomes the image; everything lies in FOLDER, an empty folder of the caller's. On stdout comes
# a protocol: each command by a name, what it printed, its exit code. Two folders of plugins that are each as good as the other
# give the same. What was said on stderr stands in FOLDER/stderr. Needs podman (with its CNI backend), conmon, crun, python3.
set -uo pipefail
if [ -z "${LAB_INNER:-}" ]; then
  export LAB_INNER=1; exec unshare -n -m -p -f --mount-proc --kill-child --propagation private "$0" "$@"
fi
lab=$(dirname "$(readlink -f "$0")")
plugins=$(readlink -f "$1") base=$(readlink -f "$2") w=$(readlink -f "$3")
# podman and crun refuse a cgroup tree of both versions; /run and CNI's folders are the machine's otherwise
if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi
mount -t tmpfs none /run; mount -t tmpfs -o mode=1777 none /dev/shm; mkdir -p /run/netns /run/lock "$w"/{tmp,home,net.d,cni}
mkdir -p /var/lib/cni; mount --bind "$w/cni" /var/lib/cni
export TMPDIR=$w/tmp XDG_RUNTIME_DIR=$w/xdg HOME=$w/home CONTAINERS_CONF=$w/containers.conf VENEER_ROOT=$w/veneer
export REGISTRIES_CONFIG_PATH=$w/registries.conf CONTAINERS_STORAGE_CONF=$w/storage.conf
mkdir -m 700 "$w/xdg"
cat >"$w/containers.conf" <<C
[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
network_backend = "cni"
cni_plugin_dirs = ["$plugins"]
network_config_dir = "$w/net.d"
C
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$w/root" "$w/run" >"$w/storage.conf"
: >"$w/registries.conf"
parent=/${LAB_CGROUP:-veneer-podman}

ip link set lo up
ip netns add outside; ip link add uplink type veth peer name eth0 netns outside
ip addr add 198.51.100.1/24 dev uplink; ip link set uplink up; ip route add default via 198.51.100.2
ip -n outside addr add 198.51.100.2/24 dev eth0; ip -n outside link set eth0 up; ip -n outside link set lo up

clean() {
  podman rm -fat0 >/dev/null 2>&1
  podman umount -a >/dev/null 2>&1
  umount "$w/root/overlay" /var/lib/cni 2>/dev/null
  find /sys/fs/cgroup/*"$parent" -depth -type d -exec rmdir {} + 2>/dev/null
  return 0
}
trap "rc=\$?; clean || :; exit \$rc" EXIT

exec 3>"$w/stderr"
. "$lab/steps.sh"
p() { podman "$@"; }
run() { podman run --rm "--cgroup-parent=$parent" "$@"; }
# Until a server answers, at most a minute
ask() { until_ curl -sf -m 5 -o /dev/null "$@" && curl -sf -m 30 "$@"; }
outside() { ip netns exec outside "$@"; }
# In a container; busybox, being static, looks up no names
get='printf "GET / HTTP/1.0\r\n\r\n" | busybox nc -w 30'
page='echo page >/tmp/index.html; exec busybox httpd -f -h /tmp -p 80'

podman import -q "$base" localhost/base >/dev/null || exit 1

t backend p info -f '{{.Host.NetworkBackend}}'
t address run localhost/base sh -c 'busybox ip -o -4 addr show eth0 | tr -s " " | cut -d" " -f4; busybox ip route | tr -s " "'
t resolv run localhost/base sh -c 'busybox ip link show lo | grep -c UP'
t out run localhost/base sh -c 'busybox ping -c 1 -W 30 198.51.100.2 | grep -o "1 packets received"'
t web podman run -d --name web "--cgroup-parent=$parent" -p 8080:80 -p 127.0.0.1:8081:80 -p 8082:80/udp localhost/base sh -c "$page"
t inspect p inspect -f '{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.MacAddress}}' web
t port bash -c 'podman port web | sort'
t from-the-machine ask http://198.51.100.1:8080/
t by-loopback ask http://127.0.0.1:8080/
t one-address ask http://127.0.0.1:8081/
t from-outside outside curl -s -m 30 http://198.51.100.1:8080/
t not-from-outside outside curl -s -m 1 http://198.51.100.1:8081/
t neighbour run localhost/base sh -c "$get \$(busybox ip route | sed -n 's/default via \([^ ]*\).*/\1/p') 8080 | tail -1"
t two run localhost/base sh -c "$get $(podman inspect -f '{{.NetworkSettings.IPAddress}}' web) 80 | tail -1"
t address-of-two bash -c "podman inspect -f '{{.NetworkSettings.IPAddress}}' web | cut -d. -f1-3"
t exec p exec web sh -c 'busybox ip -o link | grep -c .'
t taken bash -c "podman run --rm --name rival -p 8080:80 localhost/base true 2>&1 | grep -c 'allocated\|in use'; podman rm -fi rival >/dev/null 2>&1"
t network-create p network create --subnet 10.77.0.0/24 --gateway 10.77.0.9 --ip-range 10.77.0.64/28 --internal=false -o mtu=1400 named
t network-list bash -c "podman network ls --format '{{.Name}} {{.Driver}}' | sort"
t named run --network named --ip 10.77.0.70 --mac-address 02:11:22:33:44:55 localhost/base sh -c 'busybox ip -o -4 addr show eth0 | tr -s " " | cut -d" " -f4; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; busybox ip route | tr -s " "'
t ranged run --network named localhost/base sh -c 'busybox ip -o -4 addr show eth0 | tr -s " " | cut -d" " -f4'
t two-networks run --network podman --network named localhost/base sh -c 'busybox ip -o -4 addr | tr -s " " | cut -d" " -f4 | cut -d. -f1-3 | sort'
t network-internal p network create --internal --subnet 10.78.0.0/24 inner
t internal run --network inner localhost/base sh -c 'busybox ip route | grep -c default; busybox ping -c 1 -W 1 198.51.100.2 >/dev/null || echo nowhere'
t network-dual p network create --ipv6 --subnet fd77::/64 --subnet 10.79.0.0/24 dual
t dual run --network dual localhost/base sh -c 'busybox ip -o addr show eth0 scope global | tr -s " " | cut -d" " -f3,4 | sort'
t network-isolated p network create --subnet 10.80.0.0/24 -o isolate=true apart
t apart-server podman run -d --name apart1 "--cgroup-parent=$parent" --network apart localhost/base sh -c "$page"
until_ podman exec apart1 sh -c "$get 127.0.0.1 80 | grep page"
t network-isolated-too p network create --subnet 10.81.0.0/24 -o isolate=true apart2
t isolated run --network apart2 localhost/base sh -c "${get/30/3} 10.80.0.2 80 2>/dev/null | grep page || echo denied"
t same-network run --network apart localhost/base sh -c "$get 10.80.0.2 80 | tail -1"
t pod bash -c "podman pod create --name pod --infra-image localhost/base --infra-command 'sleep 1000' -p 8090:80 --cgroup-parent $parent >/dev/null && podman run -d --pod pod localhost/base sh -c '$page' >/dev/null; podman pod ps --format '{{.Name}} {{.NumberOfContainers}}'"
t pod-page ask http://127.0.0.1:8090/
t pod-remove bash -c 'podman pod rm -ft0 pod >/dev/null'
t disconnect p network disconnect apart apart1
t connect p network connect --ip 10.80.0.20 apart apart1
t connected bash -c "podman inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' apart1"
t restart bash -c "podman restart -t0 web >/dev/null"
t page-again ask http://127.0.0.1:8080/
t stop p stop -t0 web
t nothing-answers outside curl -s -m 1 http://198.51.100.1:8080/
t remove bash -c 'podman rm -fat0 >/dev/null'
t network-remove p network rm named inner dual apart apart2
t left bash -c "ip -o link | cut -d: -f2 | cut -d@ -f1 | grep -c ' veth' ; ls /var/lib/cni/networks/*/ 2>/dev/null | grep -cE '^[0-9a-f]+[.:]'"
t left-rules bash -c "{ nft list ruleset 2>/dev/null; iptables -t nat -S 2>/dev/null; } | grep -cE '10\.88\.|8080'"
