#!/usr/bin/env python3
"""A container's whole start by `ctr`, beside its parts, and what many of them cost.

    benches/compare/engine.py CTR IMAGE [ROUNDS] [RUNNING] [KNOWN]

CTR is the program (an optimised build), IMAGE an OCI layout with `busybox` in it. Rounds are interleaved. With RUNNING, so many
containers are left running: the first and the last starts are told apart, their supervisors' memory is read (smaps_rollup), and `ps` is
timed. With KNOWN, so many that have ended are added, and `ps -a` is timed. Everything is below a folder of its own in /tmp (run
state in /dev/shm, since /run is in memory where it is used), and removed. No network is touched.
"""

import json, os, re, shutil, statistics, subprocess, sys, tempfile, time

ctr, image = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
rounds, many, known = (int(word) for word in (sys.argv[3:] + ["21", "0", "0"][len(sys.argv[3:]):]))
folder = tempfile.mkdtemp(prefix="engine.")
volatile = tempfile.mkdtemp(prefix="engine.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
env = dict(os.environ, VENEER_ROOT=folder + "/root", VENEER_RUN=volatile + "/run")


def run(*words):
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.returncode}: {done.stderr}")
    return done.stdout.strip()


def took(words):
    begin = time.perf_counter()
    run(*words)
    return (time.perf_counter() - begin) * 1e3


def show(name, times):
    print(f"{name:<44}{statistics.median(times):>9.1f}{min(times):>9.1f}", flush=True)


def bundle(container):
    """The bundle of a container that runs, over its image's one layer as it lies there, with `true` as its command."""
    [short] = [name for name in os.listdir(volatile + "/run") if os.path.isdir(f"{volatile}/run/{name}/bundle")]
    config = json.load(open(f"{volatile}/run/{short}/bundle/config.json"))
    layers = json.load(open(f"{folder}/root/containers/{container}/config.json"))["layers"]
    config["root"]["path"] = folder + "/rootfs"
    config["process"]["args"] = ["true"]
    config["linux"].pop("cgroupsPath", None)
    shutil.copytree(layers[0], folder + "/rootfs", symlinks=True)
    os.mkdir(folder + "/bundle")
    json.dump(config, open(folder + "/bundle/config.json", "w"))
    return ["run", "--bundle", folder + "/bundle", "alone"]


try:
    run(ctr, "load", "-q", "-i", image)
    one = run(ctr, "run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "3600")
    pid = run(ctr, "inspect", "-f", "{{.State.Pid}}", "one")
    os.symlink(ctr, folder + "/nsrun")
    alone = bundle(one)
    new = [ctr, "run", "--rm", "--network", "none"]
    rows = {
        "ctr run --rm": new + ["busybox", "true"],
        "ctr run --rm, with limits": new + ["-m", "64m", "--cpus", "1", "--pids-limit", "50", "busybox", "true"],
        "ctr run --rm --driver fuse": new + ["--driver", "fuse", "busybox", "true"],
        "nsrun run, the same bundle": [folder + "/nsrun", "--root", volatile + "/state"] + alone,
        "ctr exec": [ctr, "exec", "one", "true"],
        "nsrun enter -a": [ctr, "nsrun", "enter", "-a", "-t", pid, "true"],
        "nsenter -a": ["nsenter", "-a", "-t", pid, "true"],
        "ctr ps": [ctr, "ps"],
    }
    crun = ["crun", "--cgroup-manager=disabled", "--root", volatile + "/crun"] + alone
    if shutil.which("crun") and subprocess.run(crun, capture_output=True).returncode == 0:
        rows["crun run, the same bundle, no cgroup"] = crun
    times = {name: [] for name in rows}
    for _ in range(rounds):
        for name, words in rows.items():
            times[name].append(took(words))
    print(f"{'':<44}{'median':>9}{'min':>9}  (ms, {rounds} rounds, interleaved)")
    for name in rows:
        show(name, times[name])
    if many:
        starts, ids = [], []
        for _ in range(many):
            begin = time.perf_counter()
            ids.append(run(ctr, "run", "-d", "--network", "none", "busybox", "sleep", "3600"))
            starts.append((time.perf_counter() - begin) * 1e3)
        part = max(many // 10, 1)
        show(f"ctr run -d, the first {part}", starts[:part])
        show(f"ctr run -d, the last {part} of {many}", starts[-part:])
        time.sleep(3)
        show(f"ctr ps, {many} running", [took([ctr, "ps"]) for _ in range(5)])
        show(f"ctr run --rm, {many} running", [took(rows["ctr run --rm"]) for _ in range(5)])
        sizes = {"Pss": [], "Private_Dirty": []}
        for supervisor in run(ctr, "inspect", "-f", "{{.State.SupervisorPid}}", *ids).split():
            text = open(f"/proc/{supervisor}/smaps_rollup").read()
            for name in sizes:
                sizes[name].append(int(re.search(rf"^{name}: +(\d+)", text, re.M)[1]))
        for name, values in sizes.items():
            print(f"supervisors' {name}: {min(values)} to {max(values)} kB, median {statistics.median(values):.0f}")
    if known:
        for _ in range(known):
            run(ctr, "run", "--network", "none", "busybox", "true")
        show(f"ctr ps, {known} known", [took([ctr, "ps"]) for _ in range(11)])
        show(f"ctr ps -a, {known} known", [took([ctr, "ps", "-a"]) for _ in range(11)])
        show(f"ctr run --rm, {known} known", [took(rows["ctr run --rm"]) for _ in range(11)])
finally:
    left = subprocess.run([ctr, "ps", "-aq"], env=env, capture_output=True, text=True).stdout.split()
    if left:
        subprocess.run([ctr, "rm", "-f", *left], env=env, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(volatile, ignore_errors=True)
