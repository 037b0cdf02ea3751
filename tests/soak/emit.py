#!/usr/bin/env python3
"""emit.py SEED: a command that writes random output and ends in a random way, the same for the same seed.

Text, colours, progress bars, redraws, long lines, bad UTF-8 and binary, on stdout and stderr; then an exit status or a death by
signal. With SOAK_STDOUT_ONLY=1 everything goes to stdout, so that two runs give the same order of bytes through one pipe.
"""
import os
import random
import signal
import sys
import time


def plain(r):
    return b"".join(b"line %d %s\n" % (i, b"x" * r.randrange(0, 120)) for i in range(r.randrange(1, 200)))


def bar(r):
    total = r.randrange(2, 30)
    return b"".join(b"\r[%d/%d built] building pkg-%d\x1b[0m\x1b[K" % (i, total, i) for i in range(total)) + b"\r\x1b[K"


def colours(r):
    return b"".join(b"\x1b[%d;%dm%s\x1b[0m\n" % (r.randrange(0, 2), 30 + r.randrange(8), b"w" * r.randrange(1, 90)) for _ in range(20))


def tree(r):
    height = r.randrange(2, 6)
    frame = lambda n: b"".join(b"node %d step %d\x1b[K\n" % (i, n) for i in range(height))
    return frame(0) + b"".join(b"\x1b[%dA" % height + frame(n) for n in range(1, 6))


def long_line(r):
    return b"L" * r.randrange(1000, 70000) + b"\n"


def bad_utf8(r):
    return bytes(r.randrange(0x80, 0x100) for _ in range(40)) + b"\n"


def binary(r):
    return bytes(r.randrange(256) for _ in range(r.randrange(1, 400)))


def wide(r):
    return "".join(r.choice("äöü漢字カナ🙂e\u0301 abc") for _ in range(r.randrange(1, 200))).encode() + b"\n"


def partial(r):
    return b"no newline here" * r.randrange(1, 3)


def main():
    r = random.Random(int(sys.argv[1]))
    sizes = random.Random(int(sys.argv[1]))  # separate, so that the size of a partial write does not change the following data
    one_stream = os.environ.get("SOAK_STDOUT_ONLY") == "1"
    for _ in range(r.randrange(1, 25)):
        data = r.choice([plain, plain, bar, colours, tree, long_line, bad_utf8, binary, wide, partial])(r)
        fd = 1 if r.random() < 0.8 or one_stream else 2
        while data:
            n = os.write(fd, data[: sizes.randrange(1, 65536)])
            data = data[n:]
        if r.random() < 0.2:
            time.sleep(r.random() * 0.15)
    if r.random() < 0.2:
        os.kill(os.getpid(), r.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1]))
        time.sleep(60)
    sys.exit(r.choice([0, 0, 0, 1, 2, 4, 100, 255]))


if __name__ == "__main__":
    main()
