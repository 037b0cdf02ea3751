"""Runs a command in a new pty, and measures its time and CPU."""
import collections
import contextlib
import ctypes
import os
import pty
import resource
import subprocess
import threading
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
SAMPLE_S = 0.05

Run = collections.namedtuple("Run", "wall cpu ended")  # seconds; CPU seconds of all processes of the run; time.time() at its end


def become_subreaper():
    """Processes that a run leaves behind become our children. RUSAGE_CHILDREN has their CPU only after we waited for them."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit("the kernel has no subreapers")


def wait_for_all_children():
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def drain(master):
    with contextlib.suppress(OSError):  # EIO: no process has the pty open any more
        while os.read(master, 1 << 16):
            pass


def run(command, environment, watch=None, others=False):
    """Calls watch(pid) every SAMPLE_S until the command ends. others: this process has other children that go on; cpu is then None."""
    master, slave = pty.openpty()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
    os.close(slave)
    reader = threading.Thread(target=drain, args=(master,))
    reader.start()
    while watch and process.poll() is None:
        watch(process.pid)
        time.sleep(SAMPLE_S)
    process.wait()
    wall, ended = time.perf_counter() - start, time.time()
    if not others:
        wait_for_all_children()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    reader.join()
    os.close(master)
    return Run(wall, None if others else after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, ended)
