#!/bin/bash
# asuser.sh USER COMMAND [ARG...] - run COMMAND as USER where rootless work finds what it needs. Run it as root.
#
# In a mount namespace of its own, so that nothing here is seen outside and all of it goes with the command:
# - /dev/fuse and /dev/net/tun are open to everybody (many servers keep them for root);
# - /dev/shm is empty: podman's locks lie there under one name for all of a user's;
# - a cgroup tree of both versions at once shows only version 1, which is what engines other than ours accept;
# - the project, cargo's target folder and the fixtures can be reached, even below a home that is closed to USER;
# - HOME, USER, XDG_RUNTIME_DIR (0700, empty) and PATH are a login's; the rest of the environment is the caller's.
set -eu
[ $# -ge 2 ] || { sed -n '2,2p' "$0" >&2; exit 125; }
[ "${ASUSER_INNER:-}" ] || { export ASUSER_INNER=1; exec unshare -m --propagation private "$0" "$@"; }
unset ASUSER_INNER
user=$1; shift
IFS=: read -r _ _ uid gid _ home _ < <(getent passwd "$user") || { echo "asuser.sh: no user $user" >&2; exit 125; }

mount -t tmpfs -o mode=755,dev lab /mnt
mknod -m 666 /mnt/fuse c 10 229; mknod -m 666 /mnt/tun c 10 200; install -d -m 700 -o "$uid" -g "$gid" /mnt/run
[ ! -e /dev/fuse ] || mount --bind /mnt/fuse /dev/fuse
[ ! -e /dev/net/tun ] || mount --bind /mnt/tun /dev/net/tun
[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified
mount -t tmpfs -o mode=1777 lab-shm /dev/shm

# Where a folder that leads to DIR is closed to users, an empty one is laid over it that holds only the way to DIR.
closed_above() {
  local at= part IFS=/
  for part in ${1#/}; do
    at=$at/$part
    [ "$at" != "$1" ] && [ $((0$(stat -c %a "$at") & 1)) = 0 ] && { echo "$at"; return; }
  done
  return 0
}
cwd=$PWD; declare -A held
for d in "$(dirname "$0")/../.." "${CARGO_TARGET_DIR:-}" "${VENEER_FIXTURES:-}"; do
  d=$(readlink -f "$d") || continue
  [ -d "$d" ] && [ "$(closed_above "$d")" ] && [ -z "${held[$d]:-}" ] && { exec {fd}<"$d"; held[$d]=$fd; }
done
for d in "${!held[@]}"; do   # all are held open by now, so it does not matter what covers what
  way=$(closed_above "$d" 2>/dev/null) || way=
  [ -z "$way" ] || mount -t tmpfs -o mode=755 lab-way "$way"
  mkdir -p "$d"; mount --no-canonicalize --rbind "/proc/self/fd/${held[$d]}" "$d"
  fd=${held[$d]}; exec {fd}<&-
done
cd "$cwd" 2>/dev/null || cd "$home"

export HOME=$home USER=$user LOGNAME=$user SHELL=/bin/sh XDG_RUNTIME_DIR=/mnt/run
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
unset XDG_DATA_HOME XDG_CONFIG_HOME XDG_CACHE_HOME SUDO_USER SUDO_UID SUDO_GID
exec setpriv --reuid "$uid" --regid "$gid" --init-groups -- "$@"
