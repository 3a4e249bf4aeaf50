#!/usr/bin/env python3
"""terminal.py ROWS COLS INPUT COMMAND [ARG...] - run COMMAND on a terminal of its own, as if somebody sat there.

Waits until COMMAND has said "ready" and gets each key as it is typed, makes the terminal ROWS x COLS, types INPUT (a backslash-n ends
a line), then prints what the terminal showed, without carriage returns, until COMMAND ends; ends with its exit code.
"""
import fcntl, os, pty, select, signal, struct, sys, termios, time

rows, cols, typed, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
pid, master = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
shown, told, deadline = b"", False, time.monotonic() + 60
while time.monotonic() < deadline:
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
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        time.sleep(0.3)
        os.write(master, typed.encode().decode("unicode_escape").encode())
else:
    os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(status) & 255)
