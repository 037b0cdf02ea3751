#!/bin/sh
# Builds the Debian packages of the last commit, and tests them: lintian must not report an error or a warning. In a minimal Debian
# of the same release the packages install, nixfleet-run streams a command to the dashboard, and a purge removes every file.
#
#     tests/package.sh     as root, with debootstrap and a mirror within reach; `make check-package` calls it
#
# Environment: MIRROR (default: the mirror of this machine), KEEP=1 keeps the packages in build/package.
set -eu
[ "$(id -u)" = 0 ] || { echo "package.sh: needs root" >&2; exit 1; }
command -v dpkg-buildpackage >/dev/null || { echo "package.sh: needs Debian" >&2; exit 1; }
cd "$(dirname "$0")/.."
mirror=${MIRROR:-$(sed -nE 's/^(URIs:|deb(-src)?( \[[^]]*\])?) *([a-z+]+:[^ ]+).*/\4/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)}
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
work=$(mktemp -d "${TMPDIR:-/tmp}/nixfleet-package.XXXXXX")
root=$work/root
# shellcheck disable=SC2317 # called by trap
clean_up() {
    trap - EXIT INT TERM
    umount "$root/proc" "$root/dev" 2>/dev/null || true
    if grep -q " $root/" /proc/mounts; then
        echo "package.sh: $root still has mounts; not removed" >&2
    else
        rm -rf "$work"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

echo "== dpkg-buildpackage"
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
(cd "$work/source" && dpkg-buildpackage -us -uc) >"$work/log" 2>&1 || { tail -n 50 "$work/log" >&2; exit 1; }
grep '^tests: ' "$work/log"
echo "== lintian"
lintian --allow-root --fail-on error,warning "$work"/*.changes
if [ -n "${KEEP:-}" ]; then
    mkdir -p build/package
    cp "$work"/*.deb build/package
fi

echo "== debootstrap $suite"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
chmod 755 "$work" # the users of the new system must be able to enter it
for file in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d /etc/resolv.conf; do
    [ ! -e "$file" ] || cp -r "$file" "$root${file%/*}/"
done
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cp "$work"/nixfleet-run_*.deb "$work"/nixfleet-dashboard_*.deb "$root/tmp/"
cat >"$root/tmp/try" <<'TRY'
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq 2>/dev/null
apt-get install -y -qq --no-install-recommends /tmp/nixfleet-*.deb curl >/dev/null 2>&1
export NIXFLEET_API_TOKEN=package-token NIXFLEET_TOKEN=package-token NIXFLEET_URL=http://127.0.0.1:8123 NIXFLEET_HOST=packaged
nixfleet-dashboard --dev --listen 127.0.0.1:8123 --data /tmp/data >/tmp/dashboard.log 2>&1 &
dashboard=$!
for _ in $(seq 100); do curl -sf "$NIXFLEET_URL/health" >/dev/null && break; sleep 0.1; done
[ "$(nixfleet-run -- echo 'hello from the package')" = 'hello from the package' ]
curl -sf "$NIXFLEET_URL/api/hosts/packaged/logs?since=2000-01-01T00:00:00Z" >/tmp/lines
grep -o '"hello from the package"' /tmp/lines
kill $dashboard
wait $dashboard
rm -rf /tmp/data
apt-get purge -y -qq nixfleet-run nixfleet-dashboard >/dev/null 2>&1
left=$(find / -xdev -name '*nixfleet*' -not -path '/tmp/*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/var/lib/dpkg/*')
[ -z "$left" ] || { echo "left after a purge: $left" >&2; exit 1; }
TRY
echo "== install, run, purge"
chroot "$root" env -i HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" sh /tmp/try
echo "== done"
