"""A Debian with systemd as PID 1, with nixfleet installed, made for one test: debootstrap and systemd-nspawn.

The bare system is made once and kept (build/systemd/root); each machine is an overlay over it. The programs come from this build, so the
system is of the same Debian suite as this host. Commands run as services of the machine's systemd."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or ROOT / "build")
PLACE = pathlib.Path(os.environ.get("NIXFLEET_SYSTEMD_DIR") or BUILD / "systemd")
PACKAGES = ["systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "sudo", "openssh-server", "openssh-client", "procps", "curl"]
PATIENCE_S = 120
TOKEN = "token-of-the-machines-agents"
VIEW = "token-of-the-machines-readers"
URL = "http://127.0.0.1:8000"


def why_not():
    """Why no machine can be made here; None: a machine can be made."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("debootstrap", "systemd-nspawn", "nsenter", "unshare", "ssh-keygen"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if not suite():
        return "the release of this system is not known (/etc/os-release)"
    trial = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
                            "mount -t overlay -o lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w overlay /mnt/m"], capture_output=True, text=True, check=False)
    return None if trial.returncode == 0 else f"no overlay can be mounted: {trial.stderr.strip()}"


def suite():
    found = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    return found and found[1]


def mirror():
    apt = pathlib.Path("/etc/apt")
    texts = [p.read_text() for p in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.sources")), *sorted(apt.glob("sources.list.d/*.list"))]
             if p.is_file()]
    found = [u for t in texts for u in re.findall(r"^(?:URIs:|deb(?: \[[^]]*\])?) *([a-z+]+:[^ \n]+)", t, re.MULTILINE) if "security" not in u]
    return os.environ.get("MIRROR") or (found[0] if found else "")


def libraries():
    """The packages of the libraries that our programs link."""
    files = set()
    for name in ("nixfleet-report", "nixfleet-dashboard"):
        out = subprocess.run(["ldd", str(ROOT / name)], capture_output=True, text=True, check=True).stdout
        files.update(os.path.realpath(path) for path in re.findall(r"=> (/\S+)", out))
    packages = set()
    for path in files:
        for spelled in (path, path.removeprefix("/usr")):
            owner = subprocess.run(["dpkg-query", "-S", spelled], capture_output=True, text=True, check=False)
            packages.update(re.findall(r"^([a-z0-9.+-]+)", owner.stdout))
    return sorted(packages)


def bare_system(name="root", packages=()):
    """The directory with the bare system and further packages. Makes the system if it does not exist."""
    root = PLACE / name
    if (root / "done").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / f"{name}.log", "wb") as log:
        subprocess.run(["nice", "debootstrap", "--variant=minbase", "--include=" + ",".join([*PACKAGES, *packages, *libraries()]), suite(), str(root), mirror()],
                       stdout=log, stderr=subprocess.STDOUT, check=True)
    (root / "done").touch()
    return root


def descendants(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from descendants(int(child))


def install(root, files):
    """Installs nixfleet and files (path in the machine -> text, or (text, mode)) into the root directory of a machine."""
    subprocess.run(["make", "-s", "install", f"DESTDIR={root}", "PREFIX=/usr"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for path, text in files.items():
        text, mode = text if isinstance(text, tuple) else (text, 0o644)
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)


def inside(root, script):
    """Runs a script in the root directory of a machine that has not booted."""
    subprocess.run(["chroot", str(root), "sh", "-ec", script], check=True, stdout=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


class Machine:
    def __init__(self, files):
        lower = bare_system()
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="nixfleet-machine-"))
        for name in ("upper", "work", "root"):
            (self.place / name).mkdir()
        self.root = self.place / "root"
        subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={self.place}/upper,workdir={self.place}/work", "overlay", str(self.root)],
                       check=True)
        self.process = None
        try:
            install(self.root, files)
        except BaseException:
            self.close()
            raise

    def boot(self):
        with open(self.place / "console", "ab") as console:
            self.process = subprocess.Popen(["systemd-nspawn", "-q", "-D", str(self.root), "--private-network", "--register=no", "--keep-unit", "-b"],
                                            stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        self.leader = wait_for(self.find_leader, "systemd as PID 1")
        wait_for(lambda: self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"), "the end of the boot")

    def find_leader(self):
        if self.process.poll() is not None:
            raise RuntimeError("the machine did not boot: " + (self.place / "console").read_text(errors="replace")[-2000:])
        for pid in descendants(self.process.pid):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                ready = subprocess.run(["nsenter", "-t", str(pid), "-m", "test", "-S", "/run/dbus/system_bus_socket"], check=False).returncode == 0
                return pid if ready else None
        return None

    def run(self, script, user=None, check=True, properties=(), timeout=PATIENCE_S):
        """Runs a script as a service of the machine's systemd; returns stdout and stderr together."""
        options = [f"--property={p}" for p in properties] + ([f"--property=User={user}"] if user else [])
        done = subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "--", "systemd-run", "--quiet", "--wait", "--pipe", "--collect", *options,
                               "--", "bash", "-c", f"exec 2>&1; {script}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        if check and done.returncode != 0:
            raise AssertionError(f"{script!r} ended with {done.returncode}: {done.stdout}")
        return done

    def start(self, script, user=None, name=None):
        """Starts a script in the background as its own unit."""
        name = name or f"test-{time.monotonic_ns()}"
        who = f"--property=User={user}" if user else ""
        self.run(f"systemd-run --quiet --collect --unit={name} {who} bash -c {shlex.quote(script)}")
        return name

    def stop(self):
        if self.process is None:
            return
        try:
            os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd: power off
            self.process.wait(30)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            self.process.kill()
            self.process.wait()
        self.process = None

    def close(self):
        self.stop()
        subprocess.run(["umount", str(self.root)], check=False)
        shutil.rmtree(self.place, ignore_errors=True)


def wait_for(condition, what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for {what}")
