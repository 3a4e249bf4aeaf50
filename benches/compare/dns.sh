#!/usr/bin/env bash
# dns.sh [NETWIRE] - questions a second, time to an answer and memory of the name servers of container networks, side by side: ours,
# aardvark-dns (podman's) and dnsmasq, each with the same names, asked from a container. In turns, medians of RUNS=5 of SECONDS=1.
# Everything happens in namespaces of its own. A name of the network with 1 and with 64 questions in the air, and one that is passed on.
set -euo pipefail
[ "${INNER:-}" ] || { export INNER=1; exec unshare -n -m --propagation private "$0" "$@"; }
HERE=$(dirname "$(readlink -f "$0")"); NETWIRE=$(readlink -f "${1:-$(command -v netwire)}"); RUNS=${RUNS:-5} SECONDS_=${SECONDS_:-1}
W=$(mktemp -d "${TMPDIR:-/tmp}/bdns.XXXXXX"); pids=(); trap 'kill "${pids[@]}" 2>/dev/null || :; wait 2>/dev/null; rm -rf "$W"' EXIT
gcc -O2 -o "$W/dns" "$HERE/dns.c"
mount -t tmpfs run /run; mkdir -p /run/netns /run/aardvark; ip link set lo up; export VENEER_ROOT=/run/veneer
mkdir /run/etc; echo "nameserver 192.0.2.53" >/run/etc/resolv.conf; mount --bind /run/etc/resolv.conf /etc/resolv.conf
# who is asked elsewhere: a dnsmasq that knows one name
ip addr add 192.0.2.53/32 dev lo
dnsmasq -k -C /dev/null --no-hosts --no-resolv --listen-address=192.0.2.53 --bind-interfaces -u root --pid-file= --address=/far.example/192.0.2.1 & pids+=($!)
# 50 names each; bridges by hand for the others
"$NETWIRE" network create ours --subnet 10.9.0.0/24 >/dev/null
for n in $(seq 2 51); do ip netns add "o$n"; "$NETWIRE" attach --network ours --netns "o$n" --id "o$n" --name "name$n" >/dev/null; done
peer() { ip link add "br$1" type bridge; ip addr add "10.$1.0.1/24" dev "br$1"; ip link set "br$1" up; ip netns add "p$1"
  ip link add "v$1" type veth peer name eth0 netns "p$1"; ip link set "v$1" master "br$1" up; ip -n "p$1" addr add "10.$1.0.2/24" dev eth0; ip -n "p$1" link set eth0 up; }
names=(netwire); NS=([0]=o2) AT=([0]=10.9.0.1); PID=([0]="$("$NETWIRE" dns status --network ours --json | jq .pid)")
peer 11; for n in $(seq 2 51); do echo "10.11.0.$n name$n"; done >/run/hosts
dnsmasq -k -C /dev/null --no-hosts --addn-hosts=/run/hosts --resolv-file=/etc/resolv.conf --cache-size=0 --listen-address=10.11.0.1 --bind-interfaces -u root --pid-file= & pids+=($!)
names+=(dnsmasq) NS+=(p11) AT+=(10.11.0.1) PID+=($!)
A=$(command -v aardvark-dns || echo /usr/lib/podman/aardvark-dns)
if [ -x "$A" ]; then
  peer 12; { echo 10.12.0.1; for n in $(seq 2 51); do echo "id$n 10.12.0.$n  name$n"; done; } >/run/aardvark/n
  "$A" --config /run/aardvark --port 53 run >/dev/null 2>&1 & sleep 1
  names+=(aardvark-dns) NS+=(p12) AT+=(10.12.0.1) PID+=("$(cat /run/aardvark/aardvark.pid)"); pids+=("${PID[-1]}")
fi
sleep 0.5
ask() { ip netns exec "${NS[$1]}" "$W/dns" "${AT[$1]}" "$2" 1 "$SECONDS_" "$3"; }
printf '%-14s %-28s %10s %10s %10s %6s\n' server question answers/s "median us" "p99 us" lost
for what in "name7 1" "name7 64" "far.example 16"; do
  for r in $(seq "$RUNS"); do for i in "${!names[@]}"; do ask "$i" $what >>"$W/$i.${what// /.}"; done; done
  for i in "${!names[@]}"; do
    m() { sort -n -k"$1","$1" "$W/$i.${what// /.}" | awk -v c="$1" '{a[NR]=$c} END {print a[int((NR+1)/2)]}'; }
    printf '%-14s %-28s %10s %10s %10s %6s\n' "${names[i]}" "${what% *}, ${what#* } in the air" "$(m 1)" "$(m 2)" "$(m 3)" "$(m 4)"
  done
done
for i in "${!names[@]}"; do
  printf '%-14s Pss %s kB, of it its own %s kB, threads %s\n' "${names[i]}" "$(awk '/^Pss:/{print $2}' "/proc/${PID[i]}/smaps_rollup")" \
    "$(awk '/^Private_Dirty:/{print $2}' "/proc/${PID[i]}/smaps_rollup")" "$(awk '/^Threads/{print $2}' "/proc/${PID[i]}/status")"
done
"$NETWIRE" dns stop --network ours
