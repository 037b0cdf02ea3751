"""A short run of the endurance test. Longer runs (half an hour and more) are started by hand (tests/README.md)."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_a_fleet_that_works_for_a_while_loses_nothing_and_grows_nowhere():
    done = subprocess.run([sys.executable, os.path.join(ROOT, "soak", "endurance.py"), "--seconds", "15", "--seed", "3", "--workers", "2",
                           "--hosts", "8", "--pages", "2"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0 and "it held" in done.stdout, done.stdout + done.stderr
