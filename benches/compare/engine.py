#!/usr/bin/env python3
"""A container's whole start by `ctr`, beside its parts, and what many of them cost.

    benches/compare/engine.py CTR IMAGE [ROUNDS] [MANY]

CTR is the program (an optimised build), IMAGE an OCI layout with `busybox` in it. Rounds are interleaved. With MANY, so many
containers are left running, their supervisors' memory is read (smaps_rollup), and `ps` is timed. Everything is below a folder of
its own in /tmp, and removed. No network is touched.
"""

import os, re, shutil, statistics, subprocess, sys, tempfile, time

ctr, image = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
rounds, many = (int(word) for word in (sys.argv[3:] + ["21", "0"])[:2])
folder = tempfile.mkdtemp(prefix="engine.")
env = dict(os.environ, VENEER_ROOT=folder + "/root", VENEER_RUN=folder + "/run")


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
    print(f"{name:<44}{statistics.median(times):>9.1f}{min(times):>9.1f}")


try:
    run(ctr, "load", "-q", "-i", image)
    run(ctr, "run", "-d", "--name", "one", "--network", "none", "busybox", "sleep", "3600")
    pid = run(ctr, "inspect", "-f", "{{.State.Pid}}", "one")
    new = [ctr, "run", "--rm", "--network", "none"]
    rows = {
        "ctr run --rm": new + ["busybox", "true"],
        "ctr run --rm, with limits": new + ["-m", "64m", "--cpus", "1", "--pids-limit", "50", "busybox", "true"],
        "ctr run --rm --driver fuse": new + ["--driver", "fuse", "busybox", "true"],
        "ctr exec": [ctr, "exec", "one", "true"],
        "nsrun enter -a": [ctr, "nsrun", "enter", "-a", "-t", pid, "true"],
        "nsenter -a": ["nsenter", "-a", "-t", pid, "true"],
        "ctr ps": [ctr, "ps"],
    }
    times = {name: [] for name in rows}
    for _ in range(rounds):
        for name, words in rows.items():
            times[name].append(took(words))
    print(f"{'':<44}{'median':>9}{'min':>9}  (ms, {rounds} rounds, interleaved)")
    for name in rows:
        show(name, times[name])
    if many:
        begin, ids = time.perf_counter(), []
        for _ in range(many):
            ids.append(run(ctr, "run", "-d", "--network", "none", "busybox", "sleep", "3600"))
        print(f"{many} left running: {(time.perf_counter() - begin) * 1e3 / many:.1f} ms each")
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
finally:
    left = subprocess.run([ctr, "ps", "-aq"], env=env, capture_output=True, text=True).stdout.split()
    if left:
        subprocess.run([ctr, "rm", "-f", *left], env=env, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
