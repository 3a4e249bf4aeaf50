#!/usr/bin/env python3
"""terminal.py ROWS COLS INPUT COMMAND [ARG...] - run COMMAND on a terminal of its own, as if somebody sat there.

The terminal is 24 x 80 at first. Waits until COMMAND has said "ready" and gets each key as it is typed, makes the terminal ROWS x COLS,
types INPUT (a backslash-n ends a line), then prints what the terminal showed, without carriage returns, until COMMAND ends; ends with
its exit code.

An engine's client may say "ready" before it listens for the signal of a new size, and would never pass that one on. So where the size
changes, INPUT is to wait until it is there and to print it ("33 77" on a line of its own); COMMAND is told again every second until then,
and never after: some clients complain of a size or a signal that comes when all is over.
"""
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

FIRST = (24, 80)
size, typed, command = (int(sys.argv[1]), int(sys.argv[2])), sys.argv[3], sys.argv[4:]


def resize(fd, size):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


pid, master = pty.fork()
if pid == 0:
    resize(0, FIRST)
    os.execvp(command[0], command)
shown, told, deadline = b"", None, time.monotonic() + 60
arrived = re.compile(rb"^%d %d\r?$" % size, re.MULTILINE)
while time.monotonic() < deadline:
    if told and size != FIRST and time.monotonic() > told + 1 and not arrived.search(shown):
        told = time.monotonic()
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
        resize(master, size)
        time.sleep(0.3)
        told = time.monotonic()
        os.write(master, typed.encode().decode("unicode_escape").encode())
else:
    os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(status) & 255)
