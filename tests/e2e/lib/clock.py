"""A wall clock that a test sets, for the programs that it starts: tests/tools/shim_clock.c."""
import os
import pathlib

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or pathlib.Path(__file__).resolve().parents[3] / "build")
SHIM = BUILD / "tools/shim_clock.so"
# A sanitizer's library must come first.
AVAILABLE = SHIM.exists() and not os.environ.get("NIXFLEET_ASAN")
STEP = 29  # seconds: a dashboard takes 30 between two writes for a jump of its clock, and less for silence


class Clock:
    """`environment` is what the program is started with."""

    def __init__(self, path, seconds=0):
        self.path, self.seconds = path, seconds
        self.set(seconds)

    def set(self, seconds):
        self.seconds = seconds
        new = self.path.with_suffix(".new")
        new.write_text(str(int(seconds * 1000)))
        new.rename(self.path)

    def pass_silently(self):
        """As if nothing had been heard for so long. Where the shim cannot be used, the test waits instead."""
        self.set(self.seconds + STEP)

    @property
    def environment(self):
        return {"LD_PRELOAD": str(SHIM), "SHIM_CLOCK": str(self.path)} if AVAILABLE else {}
