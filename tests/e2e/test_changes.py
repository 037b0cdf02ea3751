"""What a run changed: generations and closures, with real nix profiles, and with a nix-store that fails."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from helperrun import environment
from wrapper import RUN

EXPRESSION = """
let mk = name: deps: derivation {
  inherit name deps; system = builtins.currentSystem; builder = "/bin/sh"; salt = "@SALT@";
  args = [ "-c" "echo $deps > $out; @FILL@" ];
}; in {
  one = mk "home-manager-generation" [ (mk "editor-1.0" [ ]) (mk "old-tool-2.1" [ ]) (mk "same-3" [ ]) (mk "plain" [ ]) ];
  two = mk "home-manager-generation" [ (mk "editor-1.10.2" [ ]) (mk "new-tool-0.1pre" [ ]) (mk "same-3" [ ]) (mk "plain" [ (mk "same-3" [ ]) ]) ];
}
"""


@pytest.fixture(scope="module")
def generations(tmp_path_factory):
    """Makes two generations of a profile in the real store. Returns the environment for nix."""
    if shutil.which("nix-env") is None:
        pytest.skip("nix is not installed")
    if os.geteuid() != 0:
        pytest.skip("to write the store takes root")
    base = tmp_path_factory.mktemp("generations")
    (base / "nix.conf").write_text("sandbox = false\nsubstituters =\nbuild-users-group =\n")
    (base / "two.nix").write_text(EXPRESSION.replace("@SALT@", str(os.getpid())).replace("@FILL@", "i=0; while [ $i -lt 50 ]; do echo $name >> $out; i=$((i+1)); done"))
    env = dict(os.environ, NIX_CONF_DIR=str(base), NIX_REMOTE="", NIX_PATH="")
    paths = [subprocess.run(["nix-build", "--no-out-link", base / "two.nix", "-A", name], env=env, check=True, capture_output=True,
                            text=True, timeout=120).stdout.strip() for name in ("one", "two")]
    return env, paths


def setting(tmp_path, nix_env, url="", **extra):
    env = {**environment(tmp_path / "state", url), **{key: nix_env[key] for key in ("NIX_CONF_DIR", "NIX_REMOTE", "NIX_PATH")}}
    env.update(HOME=str(tmp_path / "home"), **extra)
    for name in ("XDG_STATE_HOME", "USER"):
        env.pop(name, None)
    return env


def profile(tmp_path):
    path = tmp_path / "home/.local/state/nix/profiles"
    path.mkdir(parents=True, exist_ok=True)
    return str(path / "home-manager")


def switch(tmp_path, path):
    return ["nix-env", "-p", profile(tmp_path), "--set", path]


def wrapped(env, command):
    return subprocess.run([RUN, "--", *command], env=env, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)


def shown(env):
    return subprocess.run([RUN, "--show", "--changes"], env=env, capture_output=True, text=True, timeout=60)


def test_a_new_generation_is_told_with_the_packages_that_changed(tmp_path, generations):
    nix_env, (one, two) = generations
    with FaultServer() as server:
        env = setting(tmp_path, nix_env, server.url, NIXFLEET_FLUSH_TIMEOUT="30")
        subprocess.run(switch(tmp_path, one), env=env, check=True, capture_output=True, timeout=60)
        assert wrapped(env, switch(tmp_path, two)).returncode == 0
        (changed,) = server.run().end["changes"]
    assert (changed["profile"], changed["old"], changed["new"]) == ("home-manager", one, two)
    assert (changed["old_generation"], changed["new_generation"]) == ("1", "2")
    assert changed["packages"] == [{"name": "editor", "old": "1.0", "new": "1.10.2"}, {"name": "new-tool", "new": "0.1pre"},
                                   {"name": "old-tool", "old": "2.1"}]
    assert changed["rebuilt"] == 2  # the generation itself, and plain
    sizes = subprocess.run(["nix-store", "-q", "--size", *closure(env, two), *[]], env=env, capture_output=True, text=True, timeout=60)
    before = subprocess.run(["nix-store", "-q", "--size", *closure(env, one)], env=env, capture_output=True, text=True, timeout=60)
    assert changed["size"] == sum(map(int, sizes.stdout.split())) - sum(map(int, before.stdout.split()))
    text = shown(env).stdout
    assert "home-manager: 1 (" in text and "editor: 1.0 -> 1.10.2" in text and "new-tool: added 0.1pre" in text and "old-tool: removed 2.1" in text


def test_a_secret_in_what_changed_is_redacted(tmp_path, generations):
    nix_env, (one, two) = generations
    with FaultServer() as server:
        env = setting(tmp_path, nix_env, server.url, NIXFLEET_FLUSH_TIMEOUT="30", EDITOR_TOKEN="1.10.2")
        subprocess.run(switch(tmp_path, one), env=env, check=True, capture_output=True, timeout=60)
        assert wrapped(env, switch(tmp_path, two)).returncode == 0
        (changed,) = server.run().end["changes"]
    assert changed["packages"][0] == {"name": "editor", "old": "1.0", "new": "[redacted]"}


def closure(env, path):
    return subprocess.run(["nix-store", "-q", "--requisites", path], env=env, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_without_a_dashboard_it_is_found_out_when_it_is_asked_for(tmp_path, generations):
    nix_env, (one, two) = generations
    env = setting(tmp_path, nix_env)
    assert wrapped(env, switch(tmp_path, one)).returncode == 0
    assert shown(env).stdout.startswith(f"home-manager: 1 ({one})\n")
    assert wrapped(env, switch(tmp_path, two)).returncode == 0
    assert "editor: 1.0 -> 1.10.2" in shown(env).stdout


def test_a_run_that_changes_no_profile_says_nothing(tmp_path, generations):
    nix_env, (one, _) = generations
    with FaultServer() as server:
        env = setting(tmp_path, nix_env, server.url)
        subprocess.run(switch(tmp_path, one), env=env, check=True, capture_output=True, timeout=60)
        assert wrapped(env, ["true"]).returncode == 0
        assert "changes" not in server.run().end
    assert shown(env).stdout == "no profile changed\n"
    assert not list((tmp_path / "state").glob("*.profiles"))


@pytest.mark.parametrize("store", ["exit 1", "exec sleep 600", "yes /nix/store/x", "kill -9 $$"], ids=("fails", "hangs", "endless", "dies"))
def test_a_store_that_cannot_be_asked_is_no_error_of_the_run(tmp_path, store):
    if not pathlib.Path("/nix").is_dir():
        pytest.skip("there is no /nix")
    bin_dir, home = tmp_path / "bin", pathlib.Path(profile(tmp_path))
    bin_dir.mkdir()
    (bin_dir / "nix-store").write_text(f"#!/bin/sh\n{store}\n")
    (bin_dir / "nix-store").chmod(0o755)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    home.symlink_to(tmp_path / "one")
    with FaultServer() as server:
        env = environment(tmp_path / "state", server.url, HOME=str(tmp_path / "home"), PATH=f"{bin_dir}:{os.environ['PATH']}", NIXFLEET_FLUSH_TIMEOUT="40")
        env.pop("XDG_STATE_HOME", None)
        done = wrapped(env, ["sh", "-c", f"ln -sfn {tmp_path}/two {home}; exit 3"])
        assert (done.returncode, done.stderr) == (3, b"")
        (changed,) = server.run().end["changes"]
    assert changed == {"profile": "home-manager", "old": str(tmp_path / "one"), "new": str(tmp_path / "two")}
    assert json.loads(next((tmp_path / "state").glob("*.changes")).read_text()) == [changed]
    (stored,) = (tmp_path / "state").glob("*.changes")
    text, whole = shown(env).stdout, stored.read_bytes()
    if store == "exit 1":
        for damaged in (bytes(len(whole)), whole[:30], b'{"profile":"home-manager"}', b"[NaN]", b"null", whole + b"\xff"):
            stored.write_bytes(damaged)
            assert (shown(env).stdout, stored.read_bytes()) == (text, whole), damaged
