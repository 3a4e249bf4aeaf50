#!/usr/bin/env python3
"""terminal.py ROWS COLS INPUT COMMAND [ARG...] - run COMMAND on a terminal of its own, as if somebody sat there.

The terminal is 24 x 80 at first. Waits until COMMAND has said "ready" and gets each key as it is typed, makes the terminal ROWS x COLS,
types INPUT (a backslash-n ends a line), then prints what the terminal showed, without carriage returns, until COMMAND ends; ends with
its exit code. COMMAND is told of the new size again and again: an engine's client that says "ready" before it listens for the first
signal would never pass the size on. What asks for the size inside has to wait for it all the same.
"""
import fcntl, os, pty, select, signal, struct, sys, termios, time

rows, cols, typed, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
pid, master = pty.fork()


def resize(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


if pid == 0:
    resize(0, 24, 80)
    os.execvp(command[0], command)
shown, told, deadline = b"", False, time.monotonic() + 60
while time.monotonic() < deadline:
    if told:
        os.kill(pid, signal.SIGWINCH)
    if select.select([master], [], [], 0.1)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            break
        shown += chunk
    # before that the terminal itself would take some keys
    if b"ready" in shown and not told and not termios.tcgetattr(master)[3] & termios.ICANON:
        told = True
        resize(master, rows, cols)
        time.sleep(0.3)
        os.write(master, typed.encode().decode("unicode_escape").encode())
else:
    os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(status) & 255)
