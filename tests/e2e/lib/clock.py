"""The test sets the wall clock of the programs that it starts: tests/tools/shim_clock.c."""
import os
import pathlib

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or pathlib.Path(__file__).resolve().parents[3] / "build")
SHIM = BUILD / "tools/shim_clock.so"
# A sanitizer's library must be the first in LD_PRELOAD, so the shim cannot be used with it.
AVAILABLE = SHIM.exists() and not os.environ.get("NIXFLEET_ASAN")
STEP = 29  # seconds: 30 s between two writes is a clock jump for a dashboard; less is silence


class Clock:
    """The test starts the program with `environment`."""

    def __init__(self, path, seconds=0):
        self.path, self.seconds = path, seconds
        self.set(seconds)

    def set(self, seconds):
        self.seconds = seconds
        new = self.path.with_suffix(".new")
        new.write_text(str(int(seconds * 1000)))
        new.rename(self.path)

    def pass_silently(self):
        """Moves the clock by STEP, as if no host had reported for that time. Without the shim, the test has to wait instead."""
        self.set(self.seconds + STEP)

    @property
    def environment(self):
        return {"LD_PRELOAD": str(SHIM), "SHIM_CLOCK": str(self.path)} if AVAILABLE else {}
