"""scripts/install-deps: what it installs, and what it says when it may not or cannot install."""
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def install_deps(tmp_path, group, *tools, **scripts):
    """Runs scripts/install-deps with only these tools on PATH, and with these scripts as stubs."""
    for tool in {"sh", "tr", "sort", "id", "uname", *tools} - set(scripts):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    for name, text in scripts.items():
        (tmp_path / name.replace("_", "-")).write_text("#!/bin/sh\n" + text + "\n")
        (tmp_path / name.replace("_", "-")).chmod(0o755)
    return subprocess.run([ROOT / "scripts/install-deps", group], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)


def test_with_nix_it_says_which_command_to_run(tmp_path):
    result = install_deps(tmp_path, "check", nix="exit 0")
    assert result.returncode == 1
    assert "nix develop --command make check" in result.stderr


def test_on_debian_without_root_and_sudo_it_says_what_root_should_run(tmp_path):
    result = install_deps(tmp_path, "build", id="echo 1000", dpkg_query="exit 1", apt_get="exit 1", cc="", make="", pkg_config="exit 1")
    assert result.returncode == 1
    assert "As root: apt-get install" in result.stderr and "libwslay-dev" in result.stderr


def test_on_debian_what_is_missing_is_installed_and_nothing_else(tmp_path):
    result = install_deps(tmp_path, "build", "env", id="echo 0", apt_get=f'echo "$@" >>{tmp_path}/calls',
                          dpkg_query='case $4 in libwslay-dev) exit 1 ;; esac; printf installed')
    assert result.returncode == 0, result.stderr
    calls = (tmp_path / "calls").read_text()
    assert calls.count("\n") == 1 and calls.split()[-1] == "libwslay-dev" and "gcc" not in calls


def test_where_all_is_there_nothing_is_asked_of_a_mirror(tmp_path):
    result = install_deps(tmp_path, "check", dpkg_query="printf installed", apt_get=f"touch {tmp_path}/called")
    assert (result.returncode, result.stderr) == (0, "") and not (tmp_path / "called").exists()


def test_another_apt_is_waited_for(tmp_path):
    lock = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (unattended-upgr)"
    result = install_deps(tmp_path, "build", "env", "wc", id="echo 0", sleep="exit 0",
                          apt_get=f'echo call >>{tmp_path}/calls; [ $(wc -l <{tmp_path}/calls) -gt 2 ] || {{ echo "{lock}" >&2; exit 100; }}',
                          dpkg_query='case $4 in libwslay-dev) exit 1 ;; esac; printf installed')
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "calls").read_text().count("call") == 3 and "libwslay-dev" in result.stderr


def test_what_apt_says_is_shown_when_it_fails(tmp_path):
    result = install_deps(tmp_path, "build", "env", id="echo 0", apt_get='echo "E: Unable to locate package x" >&2; exit 100',
                          dpkg_query='case $4 in libwslay-dev) exit 1 ;; esac; printf installed')
    assert result.returncode == 100 and "Unable to locate package" in result.stderr
