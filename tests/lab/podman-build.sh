#!/bin/bash
# podman-build.sh MOUNT_PROGRAM BASE.tar FOLDER - what does Debian's podman build, run and commit on this mount program?
#
# As root or as an ordinary user (below asuser.sh); no network, no cgroups. BASE.tar, a root file system with busybox, becomes
# the base image; everything lies in FOLDER, an empty folder of the caller's. On stdout comes what the image holds, layer by
# layer: type and mode, owner, size or device, name, link, extended attributes, and a checksum of each file's content; times
# are left out, being of the run. Two mount programs that are each as good as the other give the same. Needs podman, crun, tar.
set -euo pipefail
if [ "$(id -u)" = 0 ] && [ -z "${BUILD_INNER:-}" ]; then
  export BUILD_INNER=1; exec unshare -n -m --propagation private "$0" "$@"
fi
program=$(readlink -f "$1") base=$(readlink -f "$2") w=$(readlink -f "$3")
# podman and crun refuse a cgroup tree of both versions
if [ "$(id -u)" = 0 ] && [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi
# another podman's locks lie there under the same name, and its list of what runs in /run
if [ "$(id -u)" = 0 ]; then mount -t tmpfs -o mode=1777 none /dev/shm; mount -t tmpfs none /run; mkdir /run/lock; fi
export TMPDIR=$w/tmp XDG_RUNTIME_DIR=$w/xdg HOME=$w/home CONTAINERS_CONF=$w/containers.conf
export REGISTRIES_CONFIG_PATH=$w/registries.conf CONTAINERS_STORAGE_CONF=$w/storage.conf
mkdir -p "$w"/{tmp,home,context/tree/sub}; mkdir -m 700 "$w/xdg"
printf '[containers]\ndefault_ulimits = ["nofile=1024:1024","nproc=1024:1024"]\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n' >"$w/containers.conf"
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\nrootless_storage_path = "%s"\n[storage.options.overlay]\nmount_program = "%s"\n' \
  "$w/root" "$w/run" "$w/root" "$program" >"$w/storage.conf"
: >"$w/registries.conf"

clean() {
  podman rm -fat0 >/dev/null 2>&1
  podman umount -a >/dev/null 2>&1
  # What a user's podman leaves to hold its namespaces, and what belongs to the user's other ids in there.
  if [ "$(id -u)" != 0 ]; then
    podman unshare sh -c 'rm -rf --one-file-system "$1/root" "$1/run" "$1/tmp"' sh "$w" 2>/dev/null
    [ ! -f "$w/xdg/libpod/tmp/pause.pid" ] || kill "$(cat "$w/xdg/libpod/tmp/pause.pid")" 2>/dev/null
  else
    umount "$w/root/overlay" 2>/dev/null
    find /sys/fs/cgroup/*/libpod_parent -depth -type d -exec rmdir {} + 2>/dev/null
  fi
  return 0
}
trap "rc=\$?; clean || :; exit \$rc" EXIT

echo added >"$w/context/file"; echo 'from the tree' >"$w/context/tree/sub/new"; echo 'user:x:1:' >"$w/context/tree/group"
cat >"$w/context/Dockerfile" <<'D'
FROM localhost/base
RUN mkdir -p /d/sub/deep /keep && echo 1 >/d/a && echo 2 >/d/sub/b && ln /d/a /d/link && chown 5:6 /d/sub/b && chmod 4755 /keep && mknod /keep/fifo p && ln -s a /d/symlink
RUN rm /d/a && rm -r /d/sub && mkdir /d/sub && echo 3 >/d/sub/c && test ! -e /d/sub/b && test ! -e /d/sub/deep
RUN test ! -e /d/a && test ! -e /d/sub/b && test "$(cat /d/link)" = 1 && test "$(ls /d/sub)" = c
COPY file /d/link
ADD tree /etc
RUN test "$(cat /d/link)" = added && test "$(cat /etc/group)" = user:x:1: && test -e /etc/passwd && rm -r /etc/sub
COPY tree/sub /etc/sub
RUN mv /d /e && mkdir /d && mv /home/user /home/other && test ! -e /home/user && test "$(ls /e/sub)" = c && test -z "$(ls /d)"
RUN rm /bin/wget && ln /bin/busybox /bin/second && ln -f /bin/busybox /bin/third && rm /bin/third && rm -rf /var && mkdir /var && touch /var/x
RUN test ! -e /bin/wget && test ! -e /bin/third && test "$(ls /var)" = x && chown -R 7:8 /e && chmod 2750 /e/sub && mv /e/sub /sub && ln -s nowhere /e/sub
RUN rm /e/sub && mkdir -p /e/sub/c && mv /root /roots && mkdir -m 711 /root && echo x >'/root/.wh' && test "$(ls /e/sub)" = c
D
podman import -q "$base" localhost/base >/dev/null
podman build -q --isolation chroot --network host --layers --format oci -t localhost/built "$w/context" >/dev/null
run() { podman run --cgroups disabled --network none "$@"; }
run --name one localhost/built sh -c 'cat /e/link && rm -r /e/link /sub && mkdir /sub && mv /bin/second /bin/2 && chown 9:9 /etc/passwd && echo y >/var/x && cp /bin/busybox /copy' >/dev/null
podman commit -q one localhost/committed >/dev/null
run --rm localhost/committed sh -c 'test ! -e /e/link && test -z "$(ls /sub)" && test ! -e /bin/second && cat /var/x && stat -c %u:%g /etc/passwd'
# A volatile container that is started again goes on with its upper.
run -d --name two localhost/committed sleep 100 >/dev/null
podman exec two sh -c 'echo kept >/kept; mv /usr /usr2'
podman kill two >/dev/null; podman wait two >/dev/null; podman start two >/dev/null
podman exec two cat /kept; podman exec two ls -d /usr2
podman diff two | sort
podman rm -ft0 two >/dev/null

podman save -q --format oci-dir -o "$w/saved" localhost/committed >/dev/null
cd "$w/saved"
manifest=$(sed -n 's/.*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' index.json | head -1)
cd blobs/sha256
tr ',' '\n' <"$manifest" | sed -n '/layers/,$s/.*"digest":"sha256:\([0-9a-f]*\)".*/\1/p' | while read -r layer; do
  echo "layer"
  LC_ALL=C tar --numeric-owner --xattrs --xattrs-include='*' -tvvf "$layer" | awk '{
    if ($1 == "x:") { print last " " $0; next }
    last = $1 " " $2 " " $3; for (i = 6; i <= NF; i++) last = last " " $i; print last }' | sort
  mkdir "$w/tree"; tar --no-same-owner --no-same-permissions --exclude='dev/*' -C "$w/tree" -xf "$layer"
  (cd "$w/tree"; chmod -R u+rwX .; find . -type f -exec sha256sum {} + | sort -k 2); rm -rf "$w/tree"
done
