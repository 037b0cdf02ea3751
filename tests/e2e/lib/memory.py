"""Makes allocations of a process fail when a test asks for it: tests/tools/failmem.c."""
import mmap
import os
import pathlib
import struct

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD", pathlib.Path(__file__).resolve().parents[3] / "build"))
SHIM = BUILD / "tools" / "failmem.so"
NEVER = (1 << 62, 1 << 62)


class Memory:
    """The test starts the process with `environment`."""

    def __init__(self, directory):
        path = directory / "failmem"
        path.write_bytes(struct.pack("qqq", 0, *NEVER))
        with open(path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 24)
        self.environment = {"LD_PRELOAD": str(SHIM), "FAILMEM": str(path)}

    @property
    def count(self):
        return struct.unpack_from("q", self.shared, 0)[0]

    def fail(self, after, how_many):
        """From now on, `after` allocations succeed, then `how_many` fail."""
        first = self.count + after
        struct.pack_into("qq", self.shared, 8, first, first + how_many)

    def suffice(self):
        struct.pack_into("qq", self.shared, 8, *NEVER)
