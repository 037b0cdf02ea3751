"""nginx and haproxy in front of a dashboard, on loopback, with TLS by a CA of the tests' own."""
import pathlib
import shutil
import socket
import ssl
import subprocess
import time

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/run/current-system/sw/bin") or shutil.which("nginx")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/run/current-system/sw/bin") or shutil.which("haproxy")

UPGRADE = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;"""
# What people write: {name: the lines inside `location /`}.
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
    """A CA, and a certificate of it for localhost."""

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
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
        return context


class Proxy:
    """A proxy that runs while the block does; `url` is where people go."""

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
