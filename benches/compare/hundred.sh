#!/usr/bin/env bash
# hundred.sh - what attach costs on the first ten and on the last ten of a hundred networks: for the first container of each, which makes bridge and
# rules, and for a second one (five rounds, detached in between). Medians; `netwire` is the one in PATH. In a network namespace of its own.
set -eu
[ "${INNER:-}" ] || exec env INNER=1 unshare -n -m --propagation private "$0" "$@"
mount -t tmpfs t /run; mkdir -p /run/netns; ip link set lo up; export VENEER_ROOT=/run/v
for i in $(seq 100); do ip netns add c$i; netwire network create n$i --disable-dns >/dev/null; done
for i in $(seq 100); do s=$(date +%s%N); netwire attach --network n$i --netns c$i --id c$i >/dev/null; e=$(date +%s%N); echo $i $(( (e-s)/1000 )); done > /run/t
for i in $(seq 100); do ip netns add d$i; done
for r in 1 2 3 4 5; do for i in 1 2 3 4 5 6 7 8 9 10 91 92 93 94 95 96 97 98 99 100; do s=$(date +%s%N); netwire attach --network n$i --netns d$i --id d$i >/dev/null; e=$(date +%s%N); echo $i $(( (e-s)/1000 )); netwire detach --network n$i --id d$i; sleep 0.05; done; done > /run/u
python3 - <<'P'
import statistics as s
t=[tuple(map(int,l.split())) for l in open('/run/t')]; u=[tuple(map(int,l.split())) for l in open('/run/u')]
m=lambda x:s.median(x)/1000
print("first attach (makes the bridge): networks 1-10 %.2f ms, 91-100 %.2f ms"%(m([v for i,v in t if i<=10]),m([v for i,v in t if i>90])))
print("second container, a hundred there: networks 1-10 %.2f ms, 91-100 %.2f ms"%(m([v for i,v in u if i<=10]),m([v for i,v in u if i>90])))
P
