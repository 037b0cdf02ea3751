"""A short soak test: random commands under random faults, with a fixed seed. Longer soaks are started by hand (tests/README.md)."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


@pytest.mark.parametrize("seed", [1, 20261123])
def test_random_runs_under_random_faults_keep_their_promises(seed):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "soak", "soak.py"), "--rounds", "25", "--seed", str(seed), "--seconds", "60"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rounds held" in done.stdout
