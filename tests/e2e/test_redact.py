"""No value of a secret variable leaves the machine, however it is written."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from helperrun import TOKEN, HelperRun, flush

SECRET = "correct-horse-battery"


def everything(server):
    return "\n".join(str(message) for run in server.runs.values() for _, message in run.batches + run.beats)


def test_a_secret_is_replaced_whole_coloured_split_and_in_a_long_line(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, DEPLOY_PASSWORD=SECRET) as run:
        run.write(f"plain {SECRET} end\n")
        run.write(f"\x1b[31mcorrect-\x1b[1mhorse\x1b[0m-battery\n")
        run.write("in two writes: correct-horse")
        server.wait(lambda: server.text() and "in two writes" in server.text())
        assert "correct" not in everything(server)
        run.write("-battery end\n")
        for before in range(16384 - 24, 16384 + 2, 3):
            run.write("x" * before + SECRET + "y" * 50 + "\n")
        run.write(f"the token: {TOKEN}\n")
        run.finish()
        assert "correct-h" not in everything(server) and "-battery" not in everything(server)
        assert "horse" not in everything(server) and TOKEN not in everything(server)
        assert server.run().lines[0] == "plain [redacted] end"
        assert server.run().lines[2] == "in two writes: [redacted] end"
        assert not server.violations


def test_an_error_that_is_too_long_to_be_sent_whole_does_not_end_in_the_middle_of_a_secret(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=1, DEPLOY_PASSWORD=SECRET) as run:
        run.write(f"error: {'x' * 500} {SECRET}\n")
        run.finish()
        assert server.run().end["error"].startswith("error: xxx") or server.run().end["error"].startswith("xxx")
        assert "correct" not in everything(server)


def test_a_flush_from_another_environment_replaces_the_same(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url, DEPLOY_PASSWORD=SECRET, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        run.write(f"a {SECRET} b\n")
        run.finish()
    server.start()
    assert flush(tmp_path, server.url).returncode == 0
    assert server.text() == "a [redacted] b"
    server.stop()
