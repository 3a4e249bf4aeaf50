#!/usr/bin/env bash
# ports.sh [NETWIRE] - time publishing 206 ports with 0 and with 10,000 published already, one more port, and the same with the CNI plugin portmap.
# Everything happens in a network namespace of its own. env: RUNS=15, PORTMAP=1 for the plugin too (seconds a run).
set -euo pipefail
[ "${INNER:-}" ] || { export INNER=1; exec unshare -n -m --propagation private "$0" "$@"; }
HERE=$(dirname "$(readlink -f "$0")"); NETWIRE=${1:-netwire}; export RUNS=${RUNS:-15}; W=$(mktemp -d "${TMPDIR:-/tmp}/bports.XXXXXX"); trap 'rm -rf "$W"' EXIT
mount -t tmpfs run /run; mkdir -p /run/netns; ip link set lo up; export VENEER_ROOT=$W/root
for c in c1 c2; do ip netns add $c; "$NETWIRE" attach --network bridge --netns $c --id $c >/dev/null; done
# floor: nft itself, 206 elements of a map in one transaction
nft 'add table inet floor; add map inet floor m { type inet_proto . inet_service : ipv4_addr . inet_service; }'
for p in $(seq 3000 3205); do echo "add element inet floor m { tcp . $p : 172.17.0.2 . $p }"; done >"$W/floor"
set -- "floor:nft=nft -f $W/floor" "ours:netwire=$NETWIRE publish --id c1 3000-3205:3000-3205"
UNDO="nft flush map inet floor m; $NETWIRE unpublish --id c1"
if [ "${PORTMAP:-}" ]; then
  maps=$(for p in $(seq 3000 3205); do printf '{"hostPort":%d,"containerPort":%d,"protocol":"tcp"},' "$p" "$p"; done)
  printf '{"cniVersion":"0.4.0","name":"b","type":"portmap","snat":true,"capabilities":{"portMappings":true},"runtimeConfig":{"portMappings":[%s]},"prevResult":{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/c1"}],"ips":[{"version":"4","interface":0,"address":"172.17.0.2/16"}]}}' "${maps%,}" >"$W/portmap.json"
  E="CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/c1 CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/portmap <$W/portmap.json"
  set -- "$@" "peer:portmap=CNI_COMMAND=ADD $E >/dev/null"; UNDO="$UNDO; CNI_COMMAND=DEL $E >/dev/null 2>&1"
fi
python3 "$HERE/cmp.py" -t "206 ports, none there" -p "$UNDO" "$@"
sh -c "$UNDO"; "$NETWIRE" publish --id c2 10000-19999:10000-19999 >/dev/null
for p in $(seq 10000 19999); do echo "add element inet floor m { tcp . $p : 172.17.0.2 . $p }"; done >"$W/many"; nft -f "$W/many"
UNDO=${UNDO/nft flush map inet floor m;/sed s/^add/delete/ $W/floor | nft -f - 2>/dev/null || :;}
python3 "$HERE/cmp.py" -t "206 ports, 10,000 there" -p "$UNDO" "$@"
python3 "$HERE/cmp.py" -t "one port, 10,000 there" -p "$NETWIRE unpublish --id c1" "ours:publish=$NETWIRE publish --id c1 3000:80"
"$NETWIRE" unpublish --id c1
python3 "$HERE/cmp.py" -t "206 ports taken away, 10,000 there" -p "$NETWIRE publish --id c1 3000-3205:3000-3205" "ours:unpublish=$NETWIRE unpublish --id c1"
