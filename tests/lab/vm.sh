#!/bin/bash
# vm.sh - run one command in a throw-away virtual machine with Debian's kernel and a pure cgroup v2 tree.
#
#   vm.sh [-s DIR] [-r DIR]... [-m MiB] [-c CPUS] [-d GiB] [-t SECONDS] [-a tcg|kvm] [-1] [-v] -- COMMAND [ARG...]
#
# The guest's / is this machine's / (9p, read-only) under a tmpfs overlay: every tool here is there, and nothing written comes
# back. DIR (the current directory by default) is shared read-write at the same path, and is the command's working directory.
# /tmp and /run are empty there; each -r DIR is shown read-only at the same path also where it lies below these.
# With -d, /scratch is a fresh ext4 disk. No network but lo. stdin is /dev/null; stdout and stderr come out here; the exit
# status is the command's (124: ran past -t; 125: the guest died or never got that far).
#   -a  emulation by software (tcg, the default: it works everywhere) or by the processor
#   -1  cgroup v1 controllers, one hierarchy each, instead of v2
#   -v  show the kernel's console on stderr
# Needs qemu-system-x86 busybox-static cpio kmod e2fsprogs. The kernel's package is only unpacked, below $VM_CACHE (by default
# `vm` in cargo's target folder), never installed.
set -eu
share=$PWD show= mem=2048 cpus=2 disk=0 tmo=600 accel=${VM_ACCEL:-tcg} v1=0 verbose=0
while getopts s:r:m:c:d:t:a:1v o; do case $o in
 s) share=$(readlink -f "$OPTARG");; r) show+=" $(readlink -f "$OPTARG")";; m) mem=$OPTARG;; c) cpus=$OPTARG;; d) disk=$OPTARG;;
 t) tmo=$OPTARG;; a) accel=$OPTARG;; 1) v1=1;; v) verbose=1;; *) exit 125;; esac; done
shift $((OPTIND-1)); [ $# -gt 0 ] || { sed -n '2,4p' "$0" >&2; exit 125; }
cache=${VM_CACHE:-${CARGO_TARGET_DIR:-$(dirname "$(readlink -f "$0")")/../../target}/vm}; mkdir -p "$cache"; cache=$(readlink -f "$cache")
if [ ! -e "$cache/initrd" ] || [ "$0" -nt "$cache/initrd" ]; then (
  flock 9; cd "$cache"
  if ! ls k/boot/vmlinuz-* >/dev/null 2>&1; then
    pkg=$(apt-cache depends linux-image-amd64 | awk '/Depends:/{print $2; exit}')
    apt-get download "$pkg" >&2; dpkg -x "$pkg"_*.deb k; rm -f "$pkg"_*.deb
    depmod -b "$PWD/k" "$(ls k/lib/modules)"
  fi
  kv=$(ls k/lib/modules); rm -rf ird; mkdir -p ird/{bin,lib/modules,dev,proc,sys,l,u,n}
  cp /bin/busybox ird/bin/busybox
  for m in virtio_pci virtio_mmio virtio_blk virtio_console 9p 9pnet_virtio overlay ext4 crc32c_generic; do
    modprobe -d "$PWD/k" -S "$kv" -D "$m" 2>/dev/null | awk '$1=="insmod"{print $2}'
  done | awk '!s[$0]++' | while read -r f; do
    cp "$f" ird/lib/; basename "$f"; done > ird/lib/order
  cat > ird/init <<'I'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc p /proc; $b mount -t sysfs s /sys; $b mount -t devtmpfs d /dev
while read -r m; do $b insmod /lib/$m; done < /lib/order
o=trans=virtio,version=9p2000.L,msize=1048576
$b mount -t 9p -o $o,ro,cache=loose host /l || $b reboot -f
$b mount -t tmpfs -o mode=755 t /u; $b mkdir /u/u /u/w
$b mount -t overlay -o lowerdir=/l,upperdir=/u/u,workdir=/u/w root /n || $b reboot -f
cd /n
$b mount -t proc p proc; $b mount -t sysfs s sys; $b mount -t devtmpfs d dev
for f in fd:self/fd stdin:self/fd/0 stdout:self/fd/1 stderr:self/fd/2; do $b ln -s /proc/${f#*:} dev/${f%%:*}; done
$b mkdir -p dev/pts dev/shm; $b mount -t devpts -o gid=5,mode=620,ptmxmode=666 d dev/pts; $b mount -t tmpfs -o mode=1777 t dev/shm
$b mount -t tmpfs -o mode=755 t run; $b mount -t tmpfs -o mode=1777 t tmp
$b mkdir run/vmctl run/lock; $b mount -t 9p -o $o ctl run/vmctl
. run/vmctl/env
$b mkdir -p lib/modules; $b mount -t 9p -o $o,ro,cache=loose mods lib/modules
for d in $VM_SHOW; do $b mkdir -p .$d; $b mount -o bind /l$d .$d; done
$b mkdir -p ".$VM_SHARE" scratch; $b mount -t 9p -o $o share ".$VM_SHARE"
if [ $VM_V1 = 1 ]; then
  $b mount -t tmpfs -o mode=755 t sys/fs/cgroup
  for c in cpu cpuacct cpuset memory devices freezer blkio pids; do $b mkdir sys/fs/cgroup/$c; $b mount -t cgroup -o $c c sys/fs/cgroup/$c; done
else $b mount -t cgroup2 -o nsdelegate cg sys/fs/cgroup; fi
exec $b switch_root /n /bin/bash /run/vmctl/stage2
I
  chmod +x ird/init; (cd ird && find . | cpio -o -H newc --quiet) > initrd.t && mv initrd.t initrd
) 9>"$cache/lock"; fi
kv=$(ls "$cache/k/lib/modules")
ctl=$(mktemp -d /var/tmp/veneer-vm.XXXXXX); qpid=
trap '[ -z "$qpid" ] || kill $qpid 2>/dev/null || :; rm -rf "$ctl"' EXIT
printf 'VM_SHARE=%q\nVM_SHOW=%q\nVM_V1=%q\n' "$share" "$show" "$v1" > "$ctl/env"
{ printf '#!/bin/bash\ncd %q || exit 125\n' "$share"; printf '%q ' "$@"; echo; } > "$ctl/cmd"
cat > "$ctl/stage2" <<'S'
mount --make-rshared /
ip link set lo up 2>/dev/null; hostname vm
if [ -b /dev/vda ]; then mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 /dev/vda && mount /dev/vda /scratch; fi
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir /sys/fs/cgroup/init; echo $$ > /sys/fs/cgroup/init/cgroup.procs
  for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c > /sys/fs/cgroup/cgroup.subtree_control; done
fi
modprobe -a fuse overlay tun 2>/dev/null; chmod 666 /dev/fuse /dev/net/tun
export HOME=$(getent passwd 0 | cut -d: -f6) TERM=dumb; export PATH=$HOME/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cut -d' ' -f1 /proc/uptime > /run/vmctl/ready
setsid bash /run/vmctl/cmd </dev/null >/dev/hvc0 2>&1; rc=$?
sleep 0.1; sync; echo $rc > /run/vmctl/rc; sync
echo 1 > /proc/sys/kernel/sysrq; echo o > /proc/sysrq-trigger; sleep 5
S
[ "$disk" = 0 ] || truncate -s "${disk}G" "$ctl/disk"
cpu=host,-arch-capabilities; [ "$accel" = kvm ] || { cpu=max; accel=tcg,thread=multi; }
f() { echo -fsdev "local,id=$1,path=$2,security_model=none,multidevs=remap$3" -device "virtio-9p-pci,fsdev=$1,mount_tag=$1"; }
timeout "$tmo" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M q35 -accel $accel -cpu $cpu \
  -m "$mem" -smp "$cpus" -kernel "$cache/k/boot/vmlinuz-$kv" -initrd "$cache/initrd" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off ${VM_APPEND:-}" -serial "file:$ctl/console" \
  $(f host / ,readonly=on) $(f mods "$cache/k/lib/modules" ,readonly=on) $(f ctl "$ctl" "") $(f share "$share" "") \
  $([ "$disk" = 0 ] || echo -drive "file=$ctl/disk,if=virtio,format=raw,cache=unsafe") \
  -device virtio-rng-pci -device virtio-serial-pci -chardev stdio,id=c0,signal=off -device virtconsole,chardev=c0 </dev/null &
qpid=$!; wait $qpid && qrc=0 || qrc=$?; qpid=
[ $verbose = 0 ] || cat "$ctl/console" >&2
[ ! -e "$ctl/ready" ] || [ -z "${VM_TIME:-}" ] || echo "vm.sh: guest uptime at command start: $(cat "$ctl/ready") s" >&2
[ ! -s "$ctl/rc" ] || exit "$(cat "$ctl/rc")"
[ $qrc != 124 ] || exit 124
[ $verbose = 1 ] || tail -5 "$ctl/console" >&2
exit 125
