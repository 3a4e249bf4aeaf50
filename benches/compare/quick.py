#!/usr/bin/env python3
"""quick.py ROUNDS NAME=MOUNTCOMMAND... [-- TEST...]: an overlay's metadata rows on a small tree of its own, in a minute or two.

MOUNTCOMMAND as for fs.sh: @LOWER@ @UPPER@ @WORK@ @MNT@; kernel and fuse-overlayfs are there already. Best of ROUNDS, beside the
kernel's. Everything measured, servers included, runs in the scheduler's real-time class, so that the figures hold on a machine
that does other things too: they say what a request costs, not what a busy machine adds. Needs root; TMPDIR should be a tmpfs.
"""
import os, shutil, statistics, subprocess, sys, tempfile, time

if os.environ.get("INNER") is None:
    os.environ["INNER"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))
W = tempfile.mkdtemp(prefix="quick.", dir=os.environ.get("TMPDIR", "/dev/shm"))
COMMANDS = {
    "kernel": "mount -t overlay o -o lowerdir=@LOWER@,upperdir=@UPPER@,workdir=@WORK@ @MNT@",
    "fuse-overlayfs": "fuse-overlayfs -o lowerdir=@LOWER@,upperdir=@UPPER@,workdir=@WORK@ @MNT@",
}
arguments = sys.argv[2:]
wanted = arguments[arguments.index("--") + 1:] if "--" in arguments else []
for argument in arguments[: arguments.index("--") if "--" in arguments else None]:
    name, command = argument.split("=", 1)
    COMMANDS[name] = command
if not shutil.which("fuse-overlayfs"):
    del COMMANDS["fuse-overlayfs"]
UNTAR = f"tar -C @/new -xf {W}/src.tar"
EACH = "python3 -c 'import os,sys;l=[os.path.join(d,f) for d,_,fs in os.walk(sys.argv[1]) for f in fs]\nfor p in l: {}' @/src"
TESTS = {  # name: (prepare, timed)
    "find, fresh": ("true", "find @ | wc -l"),
    "find, warm": ("find @", "find @ | wc -l"),
    "find -size, fresh": ("true", "find @ -size -1k | wc -l"),
    "tar, fresh": ("true", "tar -C @ -cf - src | cat >/dev/null"),
    "open+read+close": ("find @ -size -1k", "find @/src -type f -print0 | xargs -0 cat >/dev/null"),
    "untar 800 files": ("true", UNTAR),
    "rm 800 new files": (UNTAR, "rm -rf @/new/src"),
    "rm 4000 lower files": ("true", "rm -rf @/src"),
    "rename 4000 lower files": ("true", EACH.format("os.rename(p,p+chr(95))")),
    "chmod -R 4000 files": ("true", "chmod -R o-r,o+w @/src"),
    "append to 4000 files": ("true", EACH.format('open(p,"ab").write(b"x")')),
}


def sh(command):
    return subprocess.run(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def unmount(place):
    for _ in range(200):
        if sh(f"mountpoint -q {place}/m").returncode:
            return
        if sh(f"umount {place}/m").returncode:
            time.sleep(0.02)


def fresh(name):
    place = f"{W}/on/{name}"
    unmount(place)
    sh(f"rm -rf {place}; mkdir -p {place}/u {place}/w {place}/m")
    command = COMMANDS[name]
    for key, value in {"LOWER": LOWER, "UPPER": place + "/u", "WORK": place + "/w", "MNT": place + "/m"}.items():
        command = command.replace(f"@{key}@", value)
    done = sh(command)
    assert done.returncode == 0, (name, done.stderr)
    sh(f"mkdir {place}/m/new")
    return place


try:
    for layer in range(4):
        for folder in range(25 if layer < 3 else 20):
            path = f"{W}/l{layer}/src/m{folder % 10:02}/{layer}-{folder}"
            os.makedirs(path)
            for file in range(42):
                with open(f"{path}/f{file}.c", "wb") as out:
                    out.write(b"%d\n" % file * (300 + 20 * file))
    LOWER = ":".join(f"{W}/l{layer}" for layer in range(4))
    sh(f"mkdir {W}/part && cp -r {W}/l3/src {W}/part/src && tar -C {W}/part -cf {W}/src.tar src")
    for test, (prepare, timed) in TESTS.items():
        if wanted and test not in wanted:
            continue
        best = {}
        for _ in range(int(sys.argv[1])):
            for name in COMMANDS:
                place = fresh(name)
                sh(prepare.replace("@", place + "/m"))
                start = time.perf_counter()
                done = sh(timed.replace("@", place + "/m"))
                best.setdefault(name, []).append((time.perf_counter() - start) * 1000)
                if done.returncode:
                    print(f"{name}: {test}: {done.stderr[:200]}", file=sys.stderr)
                unmount(place)
        floor = min(best["kernel"])
        rows = [f"{name} {min(t):7.1f} ms (x{min(t) / floor:5.2f}, median {statistics.median(t):.0f})" for name, t in best.items()]
        print(f"{test:24}" + "   ".join(rows), flush=True)
finally:
    for name in COMMANDS:
        unmount(f"{W}/on/{name}")
    shutil.rmtree(W, ignore_errors=True)
