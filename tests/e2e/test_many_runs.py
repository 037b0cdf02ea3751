"""330 runs of several hosts, eight at a time: the dashboard has the text, the end and the outcome of each run as the test saw them."""
import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "soak"))
import emit
from dashserver import TOKEN, Dashboard
from helperrun import environment, flush, nobody_behind
from wrapper import RUN

COUNT, AT_ONCE, HOSTS = 330, 8, 11
KINDS = [emit.plain, emit.bar, emit.colours, emit.tree, emit.long_line, emit.bad_utf8, emit.binary, emit.wide, emit.partial]
ENDS = ["exit 0", "exit 0", "exit 1", "exit 100", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -USR1 $$"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    at = tmp_path_factory.mktemp("fleet")
    with Dashboard(at / "data") as dashboard:
        yield at, dashboard


def one(number, at, dashboard):
    """Does one run; returns (the identifier, the output, the end in the form of the protocol)."""
    choose = random.Random(number)
    output = b"".join(choose.choice(KINDS)(choose) for _ in range(choose.randrange(0, 6)))
    (at / f"{number}.out").write_bytes(output)
    end = choose.choice(ENDS)
    state = at / "state" / str(number)
    env = environment(state, dashboard.url, NIXFLEET_TOKEN=TOKEN, NIXFLEET_HOST=f"host-{number % HOSTS}", NIXFLEET_FLUSH_TIMEOUT=30)
    done = subprocess.run([RUN, "--quiet", "--", "sh", "-c", f"cat {at}/{number}.out; {end}"], env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, check=False)
    assert done.stdout == output
    word, what = end.split()[:2]
    return ({"code": int(what)} if word == "exit" else {"signal": what[1:]}), state


def compare(number, end, state, dashboard):
    nobody_behind(state)
    record = next(state.glob("*.run"))
    assert flush(state, dashboard.url, NIXFLEET_TOKEN=TOKEN).returncode == 0
    shown = subprocess.run([RUN, "--show", record.stem], env=environment(state, ""), capture_output=True, timeout=60, check=True).stdout
    at = f"/api/hosts/host-{number % HOSTS}/runs/{record.stem}"
    run = json.loads(dashboard.get(at).body)
    return dashboard.get(at + "/log").body == shown and run["exit"] == end and run["status"] == "finished"


def test_every_run_is_the_same_here_and_there(fleet):
    at, dashboard = fleet
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(lambda number: one(number, at, dashboard), range(COUNT)))
        same = list(pool.map(lambda number: compare(number, *ends[number], dashboard), range(COUNT)))
    assert [number for number in range(COUNT) if not same[number]] == []
    listed = sum(len(dashboard.get(f"/api/hosts/host-{host}/runs?limit=1000").json["runs"]) for host in range(HOSTS))
    assert listed == COUNT
