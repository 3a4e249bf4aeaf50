#!/usr/bin/env bash
# make.sh OUTDIR [rootfs|busybox|debian|deb|packages]... - what the tests feed the tools with, made from Debian's own packages.
#
#   rootfs   OUTDIR/rootfs            a folder to pivot into: static busybox, its applets as links, /etc/passwd
#   busybox  OUTDIR/busybox/          that folder as an image of one layer, busybox:latest
#   debian   OUTDIR/debian/           debootstrap's minbase bookworm and three layers by apt, debian:12
#   deb      OUTDIR/veneer-hello.deb  a package to install inside a container: files, a link, a conffile, a postinst
#   packages OUTDIR/packages/         what apt would fetch to install git and a C compiler in debian:12 (made first)
#
# An image is oci-gzip/ and oci-zstd/ (OCI layouts), docker.tar (docker-archive) and facts (one line a layer: entries,
# whiteouts, opaque directories). What is there already is left alone; a half-made one never shows under its name.
# Needs root (but for rootfs and deb) and the packages that .ci/run installs. Two at once on one OUTDIR: the caller locks.
set -euo pipefail
# Mounts made below stay in here, also when somebody kills this.
if [ "$(id -u)" = 0 ] && [ -z "${MAKE_IMAGES_INNER:-}" ]; then
  export MAKE_IMAGES_INNER=1; exec unshare -m --propagation private "$0" "$@"
fi
export LC_ALL=C DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH=1700000000; umask 022
out=$(mkdir -p "${1:?usage: make.sh OUTDIR [rootfs|busybox|debian|deb|packages]...}" && cd "$1" && pwd); shift
[ $# -gt 0 ] || set -- rootfs busybox debian deb packages
say() { printf 'make.sh: %s\n' "$*" >&2; }
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

make_rootfs() { # DIR
  local r=$1 bb applet
  for bb in /bin/busybox /usr/bin/busybox; do [ -x "$bb" ] && break; done
  mkdir -p "$r"/{bin,dev,etc,home/user,proc,root,sys,tmp,usr/bin,var/tmp}
  chmod 1777 "$r/tmp" "$r/var/tmp"; chmod 700 "$r/root"
  install -m755 "$bb" "$r/bin/busybox"
  "$bb" --list | while read -r applet; do [ "$applet" = busybox ] || ln -s busybox "$r/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$r/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n' >"$r/etc/group"
  printf 'root:*:19000::::::\nuser:*:19000::::::\n' >"$r/etc/shadow"; chmod 640 "$r/etc/shadow"
  find "$r" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

make_deb() { # FILE
  local d=$1.tree
  mkdir -p "$d"/{DEBIAN,etc,usr/bin,usr/share/veneer-hello}
  printf '#!/bin/sh\necho "hello from $(cat /etc/veneer-hello.conf)"\n' >"$d/usr/bin/veneer-hello"; chmod 755 "$d/usr/bin/veneer-hello"
  echo veneer >"$d/etc/veneer-hello.conf"; ln -s ../../bin/veneer-hello "$d/usr/share/veneer-hello/link"
  echo /etc/veneer-hello.conf >"$d/DEBIAN/conffiles"
  printf '#!/bin/sh\nset -e\nmkdir -p /var/lib/veneer-hello\necho "$1" >/var/lib/veneer-hello/installed\nchown 1234:1234 /var/lib/veneer-hello\n' >"$d/DEBIAN/postinst"; chmod 755 "$d/DEBIAN/postinst"
  printf 'Package: veneer-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: tests <tests@localhost>\nDescription: a package for tests\n' >"$d/DEBIAN/control"
  find "$d" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group --build "$d" "$1" >/dev/null; rm -rf "$d"
}

# --- images: buildah lays the layers (so whiteouts are a real tool's), skopeo writes them out -------------------------
begin() { # NAME: a work folder with a buildah store of its own
  w=$out/.making-$1; rm -rf "$w"; mkdir -p "$w"
  build=(buildah --root "$w/store" --runroot "$w/run" --storage-driver overlay)
}
layer() { # BASE NAME FUNCTION CMD: one more layer on BASE, filled by FUNCTION
  local c m; c=$("${build[@]}" from --pull-never "$1"); m=$("${build[@]}" mount "$c")
  "$3" "$m"
  "${build[@]}" umount "$c" >/dev/null
  "${build[@]}" config --cmd "$4" --env "PATH=$path" "$c"
  "${build[@]}" commit --disable-compression -q --rm "$c" "$2" >/dev/null; say "layer $2"
}
finish() { # LAST-LAYER NAME:TAG DIR
  local src="containers-storage:[overlay@$w/store+$w/run]localhost/$1" o=$w/out copy=(skopeo --insecure-policy copy -q)
  mkdir "$o"
  "${copy[@]}" --dest-compress --dest-compress-format gzip "$src" "oci:$o/oci-gzip:$2"
  "${copy[@]}" --dest-compress --dest-compress-format zstd "$src" "oci:$o/oci-zstd:$2"
  "${copy[@]}" "$src" "docker-archive:$o/docker.tar:docker.io/library/$2"
  facts "$o/docker.tar" >"$o/facts"; cat "$o/facts" >&2
  umount -R "$w/store/overlay" 2>/dev/null || :
  chmod -R a+rX "$o"; mv "$o" "$3"; rm -rf "$w"
}
facts() { # docker.tar: names of the layers' tars in manifest order, then what is in each
  local t names
  for t in $(tar -xOf "$1" manifest.json | grep -o '"Layers":\[[^]]*' | grep -o '[0-9a-f]*\.tar'); do
    names=$(tar -xOf "$1" "$t" | tar -t)
    echo "$(wc -l <<<"$names") entries, $(grep -c '\.wh\.[^.]*' <<<"$names" || :) whiteouts, $(grep -c '\.wh\.\.wh\.\.opq' <<<"$names" || :) opaque"
  done
}

fill_busybox() { make_rootfs "$1"; }
make_busybox() { begin busybox; layer scratch bb fill_busybox sh; finish bb busybox:latest "$1"; }

# apt in the tree $1: the package lists and downloads are bound in and never become part of a layer.
apt_in() {
  local r=$1 d; shift
  mkdir -p "$w/lists/partial" "$w/cache/archives/partial"
  cat /etc/resolv.conf >"$w/resolv.conf"; cat /etc/hosts >"$w/hosts"
  unshare -m --propagation private sh -euc '
    r=$1 w=$2; shift 2
    mount -t proc proc "$r/proc"; mount -t tmpfs tmp "$r/tmp"; mount --rbind /dev "$r/dev"
    mount --bind "$w/lists" "$r/var/lib/apt/lists"; mount --bind "$w/cache" "$r/var/cache/apt"
    mount --bind "$w/resolv.conf" "$r/etc/resolv.conf"; mount --bind "$w/hosts" "$r/etc/hosts"
    exec chroot "$r" "$@"' - "$r" "$w" \
    env -i PATH="$path" DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    apt-get -qq -y -o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root -o Acquire::Languages=none "$@" >>"$w/apt.log" 2>&1 ||
    { tail -n 20 "$w/apt.log" >&2; return 1; }
  for d in apt/term.log apt/history.log dpkg.log alternatives.log; do rm -f "$r/var/log/$d"; done
}
fill_base() {
  local mirror; mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
  debootstrap --variant=minbase bookworm "$1" "$mirror" >"$w/debootstrap.log" 2>&1 || { tail -n 20 "$w/debootstrap.log" >&2; return 1; }
  rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/*.log
  echo debian >"$1/etc/hostname"; : >"$1/etc/resolv.conf"; echo '127.0.0.1 localhost' >"$1/etc/hosts"
}
fill_less() { apt_in "$1" update; apt_in "$1" install --no-install-recommends less hello netbase; }
# file capabilities (security.capability) and a set-user-id program
fill_ping() { apt_in "$1" install --no-install-recommends libcap2-bin iputils-ping sudo; "$1/usr/sbin/setcap" cap_net_raw+ep "$1/bin/ping"; }
fill_last() {
  apt_in "$1" install --no-install-recommends tree
  apt_in "$1" purge less                                                        # whiteouts, by a package manager
  rm -rf "$1"/usr/share/man/* "$1"/usr/share/doc/[l-p]*                         # and by hand
  rm -rf "$1/usr/share/common-licenses"; mkdir "$1/usr/share/common-licenses"   # an opaque directory
  echo 'all of them' >"$1/usr/share/common-licenses/NEW"
}
make_debian() {
  begin debian
  layer scratch base fill_base bash; layer base less fill_less bash; layer less ping fill_ping bash; layer ping last fill_last bash
  finish last debian:12 "$1"
}

make_packages() { # FOLDER
  local c m
  begin packages
  c=$("${build[@]}" from "oci:$out/debian/oci-gzip:debian:12"); m=$("${build[@]}" mount "$c")
  apt_in "$m" update; apt_in "$m" install --no-install-recommends --download-only git gcc libc6-dev
  mkdir "$1"; mv "$w"/cache/archives/*.deb "$1"; chmod -R a+rX "$1"
  "${build[@]}" umount "$c" >/dev/null; umount -R "$w/store/overlay" 2>/dev/null || :
  rm -rf "$w"
}

for what; do
  case $what in
    rootfs|busybox|debian|packages) dest=$out/$what;;
    deb) dest=$out/veneer-hello.deb;;
    *) say "no such thing to make: $what"; exit 2;;
  esac
  [ ! -e "$dest" ] || continue
  say "making $dest"; start=$SECONDS
  case $what in
    rootfs|deb|packages) rm -rf "$out/.new-$what"; "make_$what" "$out/.new-$what"; mv "$out/.new-$what" "$dest";;
    *) "make_$what" "$dest";;
  esac
  say "$dest took $((SECONDS - start)) s"
done
