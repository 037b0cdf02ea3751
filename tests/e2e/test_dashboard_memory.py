"""Each allocation of the dashboard fails in turn, alone and with all that come after it. The dashboard recovers by itself."""
import http.client
import json
import os

import pytest
from lib.dashserver import Dashboard
from lib.memory import SHIM, Memory

pytestmark = [pytest.mark.sqlite,  # where it is the dashboard's memory that runs out, and not that of libpq
              pytest.mark.skipif(not SHIM.exists(), reason="tests/tools/failmem.c is not built"),
              pytest.mark.skipif("NIXFLEET_ASAN" in os.environ, reason="a build with sanitizers has its own malloc")]

ALL = 1 << 40
BODY = json.dumps({"lines": ["a line of a log"] * 50}).encode()


def post(dashboard):
    """The status, or "closed" where the connection ended without an answer."""
    try:
        return dashboard.call("POST", "/api/hosts/host/logs", raw=BODY).status
    except (OSError, http.client.HTTPException):
        return "closed"


@pytest.mark.parametrize("how_many", [1, ALL], ids=["alone", "from-there-on"])
def test_the_next_request_succeeds_when_there_is_memory_again(tmp_path, how_many):
    memory = Memory(tmp_path)
    with Dashboard(tmp_path / "data", **memory.environment) as dashboard:
        assert post(dashboard) == 200
        before = memory.count
        assert post(dashboard) == 200
        allocations, seen = memory.count - before, set()
        for n in range(allocations + 3):
            memory.fail(n, how_many)
            seen.add(post(dashboard))
            memory.suffice()
            assert post(dashboard) == 200, (n, dashboard.log)
        assert {503, "closed"} & seen, "no allocation failed"
