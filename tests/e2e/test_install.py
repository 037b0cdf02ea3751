"""make install and make uninstall, and the properties of the linked binaries."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("NIXFLEET_BIN_DIR", ROOT))
PROGRAMS = ("nixfleet-run", "nixfleet-report", "nixfleet-dashboard")

pytestmark = pytest.mark.skipif(BIN != ROOT or not all((ROOT / p).exists() for p in PROGRAMS),
                                reason="the ordinary build is not what is tested")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Runs make in a copy of the tree: another PREFIX links nixfleet-run again, and other tests use that binary at the same time."""
    tree = tmp_path_factory.mktemp("tree") / "nixfleet"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=lambda directory, names: {"asan", "tsan", "fuzz"} & set(names)
                    if pathlib.Path(directory) == ROOT / "build" else {".git"} & set(names))
    environment = {k: v for k, v in os.environ.items() if k != "MAKELEVEL"}
    environment["MAKEFLAGS"] = re.sub(r"(^| )-j\S*|--jobserver-\S+", "", environment.get("MAKEFLAGS", ""))

    def run(*arguments, umask=-1):
        return subprocess.run(["make", *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=300,
                              umask=umask)
    return run


@pytest.fixture(scope="module")
def destination(make, tmp_path_factory):
    directory = tmp_path_factory.mktemp("destination")
    result = make("install", f"DESTDIR={directory}")
    assert result.returncode == 0, result.stderr
    return directory


def files(directory):
    return {str(f.relative_to(directory)) for f in directory.rglob("*") if f.is_file()}


def test_install_puts_everything_below_destdir_and_prefix(destination):
    installed = files(destination)
    assert {"usr/local/bin/nixfleet-run", "usr/local/bin/nixfleet-dashboard", "usr/local/libexec/nixfleet/nixfleet-report",
            "usr/local/share/man/man1/nixfleet-run.1", "usr/local/share/man/man8/nixfleet-dashboard.8",
            "usr/local/share/bash-completion/completions/nixfleet-run", "usr/local/share/zsh/site-functions/_nixfleet-run",
            "usr/local/share/fish/vendor_completions.d/nixfleet-run.fish",
            "usr/local/lib/systemd/system/nixfleet-dashboard.service",
            "usr/local/share/doc/nixfleet/LICENSE"} <= installed
    # The timer is for root and for each user: systemctl --user looks in a directory of its own.
    for manager in ("system", "user"):
        assert {f"usr/local/lib/systemd/{manager}/nixfleet-flush.{kind}" for kind in ("service", "timer")} <= installed
    assert all(name.startswith("usr/local/") for name in installed)


def test_what_root_installs_with_a_tight_umask_is_for_everybody(make, tmp_path):
    assert make("install", f"DESTDIR={tmp_path}/d", umask=0o077).returncode == 0
    inside = [f for f in (tmp_path / "d").rglob("*")]
    assert len(inside) > 20
    assert [str(f) for f in inside if f.stat().st_mode & 0o555 != (0o555 if f.is_dir() or "bin/nixfleet" in str(f) or
                                                                   f.name == "nixfleet-report" else 0o444)] == []


def test_the_unit_names_the_installed_binary(destination):
    unit = (destination / "usr/local/lib/systemd/system/nixfleet-dashboard.service").read_text()
    assert "ExecStart=/usr/local/bin/nixfleet-dashboard " in unit and "@" not in unit.replace("@system-service", "") \
        .replace("@privileged", "").replace("@resources", "")


def test_the_readme_gives_a_reason_for_each_package_that_is_installed():
    function = re.search(r"^packages\(\) \{.*?^\}", (ROOT / "scripts/install-deps").read_text(), re.MULTILINE | re.DOTALL)[0]
    groups = re.findall(r"^    (\w+)\)", function, re.MULTILINE)
    listed = subprocess.run(["sh", "-c", function + '\nfor group; do packages "$group"; done', "sh", *groups], capture_output=True,
                            text=True, check=True).stdout.split()
    table = re.search(r"^\| Debian 12 \|.*?^$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    reasons = {name for row in table.splitlines() for name in row.split("|")[1].replace(",", " ").split()}
    assert len(groups) == 10 and len(listed) > 20
    assert sorted(set(listed) - reasons) == []
    assert sorted(reasons - set(listed) - {"Debian", "12", "---"}) == []


def test_the_installed_readme_finds_its_pictures_and_pages(destination):
    documents = destination / "usr/local/share/doc/nixfleet"
    linked = re.findall(r"\]\((docs/[^)#]+)", (documents / "README.md").read_text())
    assert len(linked) > 4
    assert [name for name in linked if not (documents / name).is_file()] == []


def test_systemd_takes_the_units(destination):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    # systemd-analyze needs the binary at the path in the unit, so only that path is changed.
    for unit in ("nixfleet-dashboard.service", "nixfleet-flush.service"):
        copy = destination / unit
        text = (destination / "usr/local/lib/systemd/system" / unit).read_text()
        copy.write_text(re.sub(r"(Exec\w+=\+?)/\S+", r"\1/bin/true", re.sub(r"(?m)^Documentation=.*\n", "", text)))
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60)
        assert unit not in result.stderr, result.stderr
        copy.unlink()


def test_an_installed_wrapper_runs_a_command_and_finds_its_helper(destination, tmp_path):
    result = subprocess.run([destination / "usr/local/bin/nixfleet-run", "--no-stream", "--", "echo", "hello"], capture_output=True,
                            text=True, timeout=30, env=dict(os.environ, NIXFLEET_STATE_DIR=str(tmp_path), NIXFLEET_RUN_ID=""))
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello\n", "")
    shown = subprocess.run([destination / "usr/local/bin/nixfleet-run", "--show"], capture_output=True, text=True, timeout=30,
                           env=dict(os.environ, NIXFLEET_STATE_DIR=str(tmp_path)))
    assert (shown.returncode, shown.stdout) == (0, "hello\n"), shown.stderr


def test_uninstall_leaves_nothing(make, tmp_path):
    assert make("install", f"DESTDIR={tmp_path}").returncode == 0
    result = make("uninstall", f"DESTDIR={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert files(tmp_path) == set()


def test_paths_may_have_spaces_and_files_of_others_stay(make, tmp_path):
    paths = (f"DESTDIR={tmp_path}/stage 1", "PREFIX=/opt/my apps")
    stage = tmp_path / "stage 1"
    result = make("install", *paths)
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == [stage] and (stage / "opt/my apps/bin/nixfleet-run").is_file()
    unit = (stage / "opt/my apps/lib/systemd/system/nixfleet-dashboard.service").read_text()
    assert r"ExecStart=/opt/my\x20apps/bin/nixfleet-dashboard " in unit
    others = [tmp_path / "stage", stage / "opt/my", stage / "opt/my apps/share/doc/nixfleet/notes.txt",
              stage / "opt/my apps/libexec/nixfleet/other"]
    for other in others:
        other.write_text("of somebody else")
    result = make("uninstall", *paths)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path) == {str(other.relative_to(tmp_path)) for other in others}


def test_another_prefix_compiles_one_object(make, tmp_path):
    assert make("all").returncode == 0
    result = make("install", f"DESTDIR={tmp_path}", "PREFIX=/elsewhere", "B=build")
    assert result.returncode == 0, result.stderr
    compiled = re.findall(r"^  CC     (.*)$", result.stdout, re.MULTILINE)
    assert compiled == ["capture/helpers.c"], compiled
    assert b"/elsewhere/libexec/nixfleet/nixfleet-report" in (tmp_path / "elsewhere/bin/nixfleet-run").read_bytes()


def needed(program):
    out = subprocess.run(["readelf", "-d", ROOT / program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"NEEDED.*\[(.*?)\.so", out))


def test_the_process_that_holds_the_terminal_links_libc_and_libbsd_only():
    assert needed("nixfleet-run") <= {"libc", "libbsd", "libmd", "ld-linux-x86-64", "libpthread"}


def test_what_a_host_runs_links_no_server():
    assert "libcurl" in needed("nixfleet-report") and "libmicrohttpd" not in needed("nixfleet-report")
    assert "libmicrohttpd" in needed("nixfleet-dashboard")


@pytest.mark.parametrize("program", PROGRAMS)
def test_binaries_are_position_independent_with_read_only_relocations(program):
    header = subprocess.run(["readelf", "-hdlW", ROOT / program], capture_output=True, text=True, check=True).stdout
    assert "DYN" in header and "GNU_RELRO" in header and ("BIND_NOW" in header or "NOW" in header)
    assert not re.search(r"GNU_STACK.*RWE", header)


def test_a_package_whose_compiler_makes_no_pie_by_itself_builds_one(make, tmp_path):
    """As nix/package.nix calls make: stdenv sets the hardening, and its gcc may be built without --enable-default-pie."""
    result = make("HARDEN=", "STATIC=", "CC=cc -fno-pie -no-pie", f"B={tmp_path}", f"OUT={tmp_path}/bin", f"{tmp_path}/bin/nixfleet-run")
    assert result.returncode == 0, result.stderr
    header = subprocess.run(["readelf", "-h", tmp_path / "bin/nixfleet-run"], capture_output=True, text=True, check=True).stdout
    assert "DYN" in header


@pytest.mark.parametrize("program", ["nixfleet-run", "nixfleet-dashboard"])
def test_each_command_says_the_version(program):
    version = (ROOT / "VERSION").read_text().strip()
    result = subprocess.run([ROOT / program, "--version"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and version in result.stdout


def test_manual_pages_are_clean():
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    for page in (ROOT / "man").iterdir():
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout
