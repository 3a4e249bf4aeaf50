#!/usr/bin/env bash
# pack.sh IMGDIR [NAME=COMMAND ...] - make one layer of the image's merged tree (IMGDIR/rootfs, made by make-image.sh): gzip at each level, zstd, plain.
# In COMMAND: @TREE@ (the folder) @OUT@ (the file to write) @LEVEL@ (the gzip level). It is run by sh, so `> @OUT@` works. Runs are timed without
# sync; "post ms" is the sync after. What each one wrote is shown below the table, in MB: "at the same level" is fair only at a similar size.
# Peers get as many threads as there are processors (pigz, zstd -T0); tar, pigz and zstd compute no digests, ours the blob's and the tar's.
# Of a command the peaks of memory are those of its largest process: a pipe has several.
# env: RUNS=7, FS="tmpfs disk" (where the layer is written; as in unpack.sh), LEVELS="6" (gzip levels; "1 6 9" for all), COLD=1 (the page cache is
# emptied before each run, so the tree is read from disk), ENGINES=1 (umoci insert and buildah too, fewer runs: RUNS_ENG=3).
# Example: pack.sh $DIR "pack=unpack pack -c gzip:@LEVEL@ @TREE@ > @OUT@" "pack-zstd=unpack pack -c zstd @TREE@ > @OUT@" "pack-none=unpack pack -c none @TREE@ > @OUT@"
set -euo pipefail
[ "${INNER:-}" ] || { export INNER=1; exec unshare -n -m --propagation private "$0" "$@"; }
HERE=$(dirname "$(readlink -f "$0")"); IMG=$(readlink -f "${1:?usage: pack.sh IMGDIR [NAME=COMMAND...]}"); shift; export RUNS=${RUNS:-7}
W=$(mktemp -d "${TMPDIR:-/tmp}/bpack.XXXXXX"); trap 'umount -R "$W"/tmpfs "$W"/disk 2>/dev/null || :; rm -rf --one-file-system "$W"' EXIT
TREE=$IMG/rootfs P=$(nproc)
MB=$(tar -C "$TREE" -c . | wc -c | awk '{print $1/1e6}') N=$(find "$TREE" | wc -l)
for fs in ${FS:-tmpfs disk}; do
  mkdir -p "$W/$fs"; case $fs in tmpfs) mount -t tmpfs -o size=6g t "$W/$fs";; disk) if [ "${DISK:-}" ]; then mkdir -p "$DISK"; mount --bind "$DISK" "$W/disk"; else truncate -s 12G "$W/disk.img"; mkfs.ext4 -q "$W/disk.img"; mount -o loop "$W/disk.img" "$W/disk"; fi;; esac
  D=$W/$fs/d
  for level in ${LEVELS:-6}; do
    PREP="rm -rf $D; mkdir -p $D; sync -f $D"; [ "${COLD:-}" ] && PREP+="; echo 3 >/proc/sys/vm/drop_caches"
    args=("floor:read-tree=tar -C @TREE@ -c . | cat >/dev/null" "peer:tar-pigz=tar -C @TREE@ -c . | pigz -p$P -@LEVEL@ > @OUT@" "peer:tar-gzip=tar -C @TREE@ -c . | gzip -@LEVEL@ > @OUT@"
      "peer:bsdtar-gzip=bsdtar -C @TREE@ --options gzip:compression-level=@LEVEL@ -czf @OUT@ .")
    zst=("floor:read-tree=tar -C @TREE@ -c . | cat >/dev/null" "peer:tar-zstd=tar -C @TREE@ --zstd -cf @OUT@ ." "peer:tar-zstd-T0=tar -C @TREE@ -c . | zstd -q -T0 > @OUT@")
    plain=("floor:read-tree=tar -C @TREE@ -c . | cat >/dev/null" "peer:tar=tar -C @TREE@ -cf - . | cat > @OUT@" "peer:bsdtar=bsdtar -C @TREE@ -cf @OUT@ .")
    for c in "$@"; do case $c in *zstd*) zst+=("$c");; *none*) plain+=("$c");; *) args+=("$c");; esac; done
    table() { # TITLE COMMAND...
      local title=$1 sub=() c name; shift
      for c; do c=${c//@TREE@/$TREE}; c=${c//@LEVEL@/$level}; name=${c%%=*}; sub+=("${c//@OUT@/$D/${name#*:}}"); done
      python3 "$HERE/cmp.py" -t "pack ${MB%.*} MB, $N entries, $title: $fs${COLD:+, cold}" -u MB="$MB" -u files="$N" -p "$PREP" -s "sync -f $D" "${sub[@]}"
      sh -c "$PREP"; for c in "${sub[@]}"; do case $c in floor:*) ;; *) name=${c%%=*}; sh -c "${c#*=}"; printf '%s %s MB\n' "${name#*:}" "$(stat -c %s "$D/${name#*:}" | awk '{printf "%.1f", $1/1e6}')"; rm -f "$D/${name#*:}";; esac; done
    }
    table "gzip -$level" "${args[@]}"
  done
  table zstd "${zst[@]}"; table "plain tar" "${plain[@]}"
  [ "${ENGINES:-1}" = 1 ] || continue
  PREP="rm -rf $D; mkdir -p $D; cd $D; umoci init --layout $D/i >/dev/null; umoci new --image $D/i:t; sync -f $D" ours=()
  for c in "$@"; do case $c in *zstd*|*none*) ;; *) ours+=("$c");; esac; done
  eng=("peer:umoci-insert=umoci insert --image $D/i:t @TREE@ /" "peer:buildah-commit=S='--root $D/s --runroot $D/r --storage-driver vfs'; c=\$(buildah \$S from scratch) && buildah \$S add -q \$c @TREE@ / && buildah \$S commit -q \$c oci:$D/o:t" "${ours[@]}")
  sub=(); for c in "${eng[@]}"; do c=${c//@TREE@/$TREE}; c=${c//@LEVEL@/6}; sub+=("${c//@OUT@/$D/l}"); done
  python3 "$HERE/cmp.py" -n "${RUNS_ENG:-3}" -t "a layer by an engine: $fs" -u MB="$MB" -u files="$N" -p "$PREP" -s "sync -f $D" "${sub[@]}"
done
