"""nginx, haproxy and Caddy in front of a dashboard, on loopback, with TLS. The tests have their own CA."""
import functools
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
# The proxy in front of every dashboard of this test program, as for front(kind); "": no proxy.
PROXY = os.environ.get("NIXFLEET_TEST_PROXY", "")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/run/current-system/sw/bin") or shutil.which("nginx")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/run/current-system/sw/bin") or shutil.which("haproxy")

CADDY = shutil.which("caddy")

UPGRADE = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;"""
# Common nginx configurations: {name: the lines inside `location /`}.
NGINX_STYLES = {
    "http_host": "proxy_set_header Host $http_host; " + UPGRADE,
    "host": "proxy_set_header Host $host; " + UPGRADE,
    "plain": "",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class CA:
    """A CA, and a certificate for localhost that the CA has signed."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.ca, self.certificate, self.key = (self.directory / name for name in ("ca.pem", "server.pem", "server.key"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        self.openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA of the tests",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        (self.directory / "names").write_text(
            "subjectAltName=DNS:localhost,DNS:fleet.example.org,IP:127.0.0.1\nbasicConstraints=critical,CA:false\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names",
                     "-out", "server.pem")
        (self.directory / "both.pem").write_text(self.certificate.read_text() + self.key.read_text())

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=60)

    def context(self):
        context = ssl.create_default_context(cafile=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default since Python 3.13
        return context


class Proxy:
    """A proxy that runs during the `with` block. People use `url`."""

    def __init__(self, directory, ca, upstream):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca, self.upstream, self.port = ca, upstream, free_port()
        self.url = f"https://localhost:{self.port}"

    def __enter__(self):
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return self
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, (self.directory / "log").read_text()
                time.sleep(0.02)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Nginx(Proxy):
    """`location` are the lines inside the location; `server` replaces the whole server block, with @PORT@, @UPSTREAM@, @CERTIFICATE@ and @KEY@."""

    def __init__(self, directory, ca, upstream, location="", path="/", target="", server=None):
        super().__init__(directory, ca, upstream)
        server = server or f"""server {{ listen 127.0.0.1:@PORT@ ssl; server_name localhost; ssl_certificate @CERTIFICATE@; ssl_certificate_key @KEY@;
            location {path} {{ proxy_pass http://@UPSTREAM@{target}; {location} }} }}"""
        self.server = (server.replace("@PORT@", str(self.port)).replace("@UPSTREAM@", upstream).replace("@CERTIFICATE@", str(ca.certificate))
                       .replace("@KEY@", str(ca.key)))

    def command(self):
        temporary = "".join(f"{kind}_temp_path {self.directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(f"""daemon off; master_process off; pid {self.directory}/pid; error_log stderr;
            events {{ }}
            http {{ access_log off; {temporary}
            map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
            {self.server} }}\n""")
        return [NGINX, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]


class Haproxy(Proxy):
    def command(self):
        (self.directory / "haproxy.cfg").write_text(f"""defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout tunnel 1h
    option forwardfor
frontend people
    bind 127.0.0.1:{self.port} ssl crt {self.ca.directory}/both.pem
    default_backend dashboard
backend dashboard
    server one {self.upstream}
""")
        return [HAPROXY, "-db", "-f", str(self.directory / "haproxy.cfg")]


class Caddy(Proxy):
    """With the manual's configuration; only the name, the port and the certificate are those of the test."""

    def command(self):
        site = manual("fleet.example.org {").replace("fleet.example.org", f"localhost:{self.port}").replace("127.0.0.1:8000", self.upstream)
        assert self.upstream in site
        site = site.replace("{", f"{{\n  tls {self.ca.certificate} {self.ca.key}\n", 1)
        options = "{\n  admin off\n  skip_install_trust\n  auto_https disable_redirects\n}\n"
        (self.directory / "Caddyfile").write_text(options + site + "\n")
        return ["env", f"HOME={self.directory}", f"XDG_DATA_HOME={self.directory}", CADDY, "run", "--config", str(self.directory / "Caddyfile"),
                "--adapter", "caddyfile"]


# ---- configurations from the manual

def manual(start):
    """The block of the manual that begins with this text."""
    text = (ROOT / "man/nixfleet-dashboard.8").read_text()
    return re.search(rf"^{re.escape(start)}\n.*?^\}}$", text, re.MULTILINE | re.DOTALL)[0]


def manual_nginx():
    """The server block of the manual, as written, except for its name, port and files."""
    block = manual("server {")
    for old, new in (("listen 443 ssl", "listen 127.0.0.1:@PORT@ ssl"), ("fleet.example.org", "localhost"), ("/etc/ssl/fleet.pem", "@CERTIFICATE@"),
                     ("/etc/ssl/fleet.key", "@KEY@"), ("127.0.0.1:8000", "@UPSTREAM@")):
        assert old in block
        block = block.replace(old, new)
    return block


def front(kind, directory, ca, upstream):
    """kind: haproxy, caddy, manual (nginx with the configuration of the manual), or one of NGINX_STYLES."""
    if kind == "haproxy":
        return Haproxy(directory, ca, upstream)
    if kind == "caddy":
        return Caddy(directory, ca, upstream)
    if kind == "manual":
        return Nginx(directory, ca, upstream, server=manual_nginx())
    return Nginx(directory, ca, upstream, location=NGINX_STYLES[kind])


def available(kind):
    return {"haproxy": HAPROXY, "caddy": CADDY}.get(kind, NGINX) is not None


@functools.cache
def trusted_ca():
    """A CA that every TLS client of this process trusts."""
    ca = CA(tempfile.mkdtemp(prefix="nixfleet-ca-"))
    os.environ["SSL_CERT_FILE"] = str(ca.ca)
    return ca


def in_front(url):
    """Starts the proxy of this test program (PROXY) before a dashboard."""
    if not available(PROXY):
        import pytest
        pytest.skip(f"the proxy is not installed: {PROXY}")
    return front(PROXY, tempfile.mkdtemp(prefix="nixfleet-proxy-"), trusted_ca(), url.removeprefix("http://")).__enter__()
