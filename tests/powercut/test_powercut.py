"""Runs in a virtual machine that loses its power (`make check-powercut`): QEMU is killed in the middle, and boots again.

Three runs write numbered lines: one to a dashboard outside of the machine, one to a dashboard inside, one to a dashboard that does
not exist. Killing QEMU loses data that the guest's kernel has not written to the disk. POWERCUT_ROUNDS: number of rounds (3);
POWERCUT_ACCEL=kvm: use KVM in place of emulation; POWERCUT_BOOT_S: seconds that a boot and the first lines may take (1800)."""
import json
import os
import pathlib
import platform
import random
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "systemd"), str(HERE.parent / "e2e"), str(HERE.parent / "e2e/lib")]
import machine
from faultserver import free_port
from lib.dashserver import TOKEN as OUTSIDE_TOKEN
from lib.dashserver import Dashboard
from lib.people import settings
from machine import TOKEN, VIEW, bare_system, inside, install, wait_for

ROUNDS = int(os.environ.get("POWERCUT_ROUNDS", "3"))
KERNEL = ["linux-image-cloud-amd64", "initramfs-tools", "iproute2", "zstd"]
ACCELERATOR = os.environ.get("POWERCUT_ACCEL", "tcg")  # not detected: in a virtual machine, /dev/kvm may exist and not work
BOOT_S = int(os.environ.get("POWERCUT_BOOT_S", "1800"))  # enough for emulation on a busy machine

WORK = """#!/bin/bash
ip link set lo up; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
word() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
as_user() { runuser -u mba -- env HOME=/home/mba NIXFLEET_ALLOW_INSECURE_HTTP=1 NIXFLEET_HOST=vm "$@"; }
far="NIXFLEET_URL=http://10.0.2.2:$(word far) NIXFLEET_TOKEN=$(word token)"
away="NIXFLEET_URL=http://10.0.2.2:$(word away) NIXFLEET_TOKEN=$(word token)"
near="NIXFLEET_URL=http://127.0.0.1:8000 NIXFLEET_TOKEN=TOKEN"
case $(word phase) in
work)
    for kind in far away near; do
        as_user ${!kind} nixfleet-run bash -c 'i=0; while :; do echo "$1 line $((++i)) of a run that ends with the power"; sleep 0.02; done' - $kind &
    done >/dev/null 2>&1
    echo POWERCUT-WORKING
    wait
    ;;
after)
    as_user nixfleet-run --list
    # The other dashboard comes when the test has seen what the one in here has.
    until curl -sS -o /dev/null "http://10.0.2.2:$(word away)/health"; do sleep 0.5; done
    for log in /home/mba/.local/state/nixfleet/*.log; do
        echo "POWERCUT-LOG $(stat -c %s "$log") $(tr -dc '\\0' <"$log" | wc -c) $(head -c 200 "$log" | head -n 1)"
    done
    for kind in far away near; do as_user ${!kind} nixfleet-run --flush; echo "POWERCUT-FLUSH $kind $?"; done
    echo POWERCUT-DONE
    sleep 1000
    ;;
esac
""".replace("=TOKEN\"", f"={TOKEN}\"")
FILES = {
    "/etc/hostname": "vm\n",
    "/etc/hosts": "127.0.0.1 localhost vm\n",
    "/etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "/usr/local/bin/work": (WORK, 0o755),
    "/etc/systemd/system/work.service": "[Unit]\nAfter=nixfleet-dashboard.service\n[Service]\nExecStart=/usr/local/bin/work\nStandardOutput=tty\n"
                                        "StandardError=tty\nTTYPath=/dev/ttyS0\n[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/nixfleet-dashboard.service.d/listen.conf":
        "[Service]\nExecStart=\nExecStart=/usr/bin/nixfleet-dashboard --listen 0.0.0.0:8000 --data /var/lib/nixfleet-dashboard"
        " --config /run/nixfleet-dashboard/dashboard.conf\n",
    "/etc/nixfleet/dashboard.conf": (f"NIXFLEET_API_TOKEN={TOKEN}\nNIXFLEET_VIEW_TOKEN={VIEW}\nNIXFLEET_SESSION_SECRETS={'0123456789abcdef' * 4}\n"
                                     f"NIXFLEET_AGENT_TOKEN_HASH_SECRET={'fedcba9876543210' * 4}\n", 0o600),
}
PREPARE = """
id mba >/dev/null 2>&1 || useradd -m -u 1000 -s /bin/bash mba
echo "NIXFLEET_PASSWORD_HASH='$(echo a-password | nixfleet-dashboard hash-password)'" >>/etc/nixfleet/dashboard.conf
ln -sf /usr/lib/systemd/system/nixfleet-dashboard.service /etc/systemd/system/multi-user.target.wants/
ln -sf /etc/systemd/system/work.service /etc/systemd/system/multi-user.target.wants/
systemctl mask serial-getty@ttyS0.service >/dev/null 2>&1
"""


def why_not():
    if not shutil.which("qemu-system-x86_64") or not shutil.which("mke2fs"):
        return "qemu-system-x86_64 or mke2fs is not installed"
    if platform.machine() != "x86_64":
        return "the test's kernel is for x86_64"
    return machine.why_not()


REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no virtual machine: {REASON}")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A directory with the disk before its first boot, the kernel and the initial file system."""
    place = tmp_path_factory.mktemp("powercut")
    root = place / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(bare_system("kernel", KERNEL)), str(root)], check=True)
    install(root, FILES)
    inside(root, PREPARE)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next((root / "boot").glob(name + "-*")), place / name)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(place / "disk"), "3G"], check=True)
    shutil.rmtree(root)
    return place


class Guest:
    def __init__(self, image, disk, phase, ports):
        words = {"phase": phase, "token": OUTSIDE_TOKEN, **{k: ports[k] for k in ("far", "away")}}
        self.console = disk.with_name(f"console-{phase}")
        self.process = subprocess.Popen(
            ["nice", "qemu-system-x86_64", "-accel", ACCELERATOR, "-m", "512", "-smp", "1", "-display", "none", "-monitor", "none", "-no-reboot",
             "-serial", f"file:{self.console}", "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.img"),
             "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 mitigations=off " + " ".join(f"{k}={v}" for k, v in words.items()),
             "-drive", f"file={disk},format=raw,if=virtio,cache=none", "-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{ports['near']}-:8000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(disk.with_name("qemu"), "ab"))

    def said(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def wait_for(self, condition, what):
        def checked():
            assert self.process.poll() is None, "QEMU ended: " + self.said()[-3000:]
            return condition()
        try:
            return wait_for(checked, what, BOOT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; console: {self.said()[-3000:]}") from error

    def cut(self):
        self.process.kill()
        self.process.wait()


def inside_lines(port):
    """The lines of the run that the dashboard in the machine has; None: the dashboard does not answer."""
    def get(path):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/hosts/vm/{path}", headers={"Authorization": "Bearer " + VIEW})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()
    try:
        runs = json.loads(get("runs"))["runs"]
        return get(f"runs/{runs[0]['id']}/log").splitlines() if runs else []
    except OSError:
        return None


def outside(data, *options):
    """Without --dev: with --dev the dashboard would refuse the requests of the machine, which uses another address."""
    return Dashboard(data, dev=False, options=options, NIXFLEET_VIEW_TOKEN=VIEW, **settings())


def get(dashboard, path):
    return dashboard.get(path, token=VIEW)


def outside_lines(dashboard):
    runs = get(dashboard, "/api/hosts/vm/runs")
    runs = runs.json["runs"] if runs.status == 200 else []
    return get(dashboard, f"/api/hosts/vm/runs/{runs[0]['id']}/log").body.decode().splitlines() if runs else []


def whole(kind, lines):
    """Whether these lines are the first lines of the run, unchanged."""
    return lines == [f"{kind} line {i} of a run that ends with the power" for i in range(1, len(lines) + 1)]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_what_was_acknowledged_outlives_the_power(image, tmp_path, number):
    disk = tmp_path / "disk"
    subprocess.run(["cp", "--sparse=always", str(image / "disk"), str(disk)], check=True)
    ports = {"near": free_port(), "away": free_port()}
    with outside(tmp_path / "far") as far:
        ports["far"] = int(re.search(r":(\d+)$", far.url.rstrip("/"))[1])
        guest = Guest(image, disk, "work", ports)
        try:
            guest.wait_for(lambda: len(outside_lines(far)) > 50 and len(inside_lines(ports["near"]) or []) > 50, "the first lines of both")
            time.sleep(random.Random(number).uniform(0, 12))
            near_before = inside_lines(ports["near"])
            far_before = outside_lines(far)
        finally:
            guest.cut()
        assert whole("far", far_before) and whole("near", near_before)
        guest = Guest(image, disk, "after", ports)
        try:
            near_kept = guest.wait_for(lambda: inside_lines(ports["near"]), "the dashboard in the machine")
            with outside(tmp_path / "away", "--listen", f"127.0.0.1:{ports['away']}") as away:
                guest.wait_for(lambda: "POWERCUT-DONE" in guest.said(), "the flush after the boot")
                near_after, far_after, away_after = inside_lines(ports["near"]), outside_lines(far), outside_lines(away)
                states = {get(place, "/api/hosts/vm").json["state"] for place in (far, away)}
        finally:
            guest.cut()
    logs = re.findall(r"POWERCUT-LOG (\d+) (\d+) (\w+)", guest.said())
    print(f"\nround {number}: far {len(far_before)} -> {len(far_after)}, near {len(near_before)} -> {len(near_kept)} -> {len(near_after)}, "
          f"away {len(away_after)}; " + ", ".join(f"log {kind}: {size} bytes, {nuls} NUL" for size, nuls, kind in sorted(logs, key=lambda log: log[2])))
    assert near_kept[:len(near_before)] == near_before, "the dashboard in the machine lost what it had acknowledged"
    assert far_after[:len(far_before)] == far_before and near_after[:len(near_kept)] == near_kept, "a delivery took acknowledged lines away"
    assert whole("far", far_after) and whole("near", near_after) and whole("away", away_after)
    assert states == {"crashed"}
