"""Several dashboards share one PostgreSQL and act as one dashboard; kill -9 of a dashboard or of PostgreSQL loses nothing."""
import concurrent.futures
import contextlib
import os
import random
import signal
import threading
import time
import uuid

import pytest
from lib import writers
from lib.dashserver import Dashboard, wait_for
from lib.people import PASSWORD, TOTP, cookie_of, settings, sign_in, totp
from lib.postgres import Postgres, free_port
from lib.proxies import HAPROXY, Proxy
from lib.ws import WebSocket

# `make check-kills` sets these to larger numbers.
ROUNDS = int(os.environ.get("NIXFLEET_TEST_KILLS", "3"))  # of each kind of kill
RUNS = int(os.environ.get("NIXFLEET_TEST_RUNS", "12"))  # that stream while a node behind haproxy is killed
PAGES = int(os.environ.get("NIXFLEET_TEST_PAGES", "6"))


@pytest.fixture(scope="module", name="server")
def a_server():
    with Postgres() as server:
        yield server


@pytest.fixture(name="url")
def a_database(server):
    return server.database()


@contextlib.contextmanager
def nodes(tmp_path, url, count=2, **more):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Dashboard(tmp_path / f"node{i}", NIXFLEET_STORE=url, **more)) for i in range(count)]


def post(node, host, run, lines, **more):
    return node.post(f"/api/hosts/{host}/logs", {"run": run, "lines": lines, **more})


# ---- acting as one

def test_a_page_on_one_node_shows_what_another_received(tmp_path, url):
    run = str(uuid.uuid4())
    with nodes(tmp_path, url) as (one, two), WebSocket(two.url) as page:
        page.send({"op": "subscribe"})
        page.until("hosts")
        assert post(one, "alpha", run, ["first"]).status == 200
        assert "alpha" in [host["id"] for host in page.until("changed")["hosts"]]
        page.send({"op": "tail", "run": run, "from": 0})
        assert page.until("splice")["lines"] == ["first"]
        assert post(one, "alpha", run, ["second"]).status == 200
        message = page.until("splice")
        assert (message["from"], message["lines"], message["total"]) == (1, ["second"], 2)


def test_a_lost_notification_is_made_good(tmp_path, url, server):
    """The connection that receives notifications is cut, and data changes before it is back."""
    run = str(uuid.uuid4())
    with nodes(tmp_path, url) as (one, two), WebSocket(two.url) as page:
        assert post(one, "alpha", run, ["first"]).status == 200
        page.send({"op": "tail", "run": run, "from": 0})
        assert page.until("splice")["lines"] == ["first"]
        for _ in range(5):
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='nixfleet-dashboard listens'")
            wait_for(lambda: one.post("/api/hosts/alpha/logs", {"run": run, "lines": ["more"]}).status == 200, what="a batch that is taken")
        total = len(one.get(f"/api/hosts/alpha/runs/{run}/log").body.splitlines())
        while page.until("splice")["total"] < total:
            pass


def test_batches_of_one_run_may_arrive_at_any_node(tmp_path, url):
    with nodes(tmp_path, url, 3) as many:
        run, expected = str(uuid.uuid4()), []
        for i in range(60):
            answer = many[i % 3].post("/api/hosts/alpha/logs", {"run": run, "from": len(expected), "lines": [f"line {i}", "x"]})
            assert (answer.status, answer.json["next"]) == (200, len(expected) + 2)
            expected += [f"line {i}", "x"]
        for node in many:
            assert node.get(f"/api/hosts/alpha/runs/{run}/log").body.decode().splitlines() == expected
        assert len(many[0].get("/api/hosts/alpha/runs").json["runs"]) == 1


def test_hosts_whose_reports_arrive_everywhere_at_once_lose_nothing(tmp_path, url):
    """All nodes write to the same hosts at the same time, each node in a different order."""
    hosts, runs = [f"host{i}" for i in range(8)], [str(uuid.uuid4()) for _ in range(8)]

    def write(node, seed):
        order = random.Random(seed)
        for i in range(60):
            n = order.randrange(8)
            assert post(node, hosts[n], runs[n], [f"{seed}:{i}"]).status == 200
            assert node.post(f"/api/hosts/{hosts[order.randrange(8)]}/heartbeat", {}).status == 200
        return 60

    with nodes(tmp_path, url) as both, concurrent.futures.ThreadPoolExecutor(8) as pool:
        written = sum(pool.map(write, both * 4, range(8)))
        lines = [line for host, run in zip(hosts, runs) for line in both[0].get(f"/api/hosts/{host}/runs/{run}/log").body.decode().splitlines()]
        assert len(lines) == written == len(set(lines))


def test_a_command_is_handed_out_once(tmp_path, url):
    with nodes(tmp_path, url) as (one, two), concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert one.get("/api/hosts/alpha/poll").status == 200
        for _ in range(5):
            csrf = {"X-CSRF-Token": one.csrf()}
            assert one.post("/api/hosts/alpha/command", {"command": "pull"}, headers=csrf).status == 200
            taken = list(pool.map(lambda node: node.get("/api/hosts/alpha/poll").json["command"], [one, two] * 4))
            assert sorted(filter(None, taken)) == ["pull"]


def test_a_stop_that_one_node_is_told_reaches_the_run_at_another(tmp_path, url):
    run = str(uuid.uuid4())
    with nodes(tmp_path, url) as (one, two):
        assert one.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "running"}).json["stop"] is False
        assert two.post("/api/hosts/alpha/command", {"command": "stop"}, headers={"X-CSRF-Token": two.csrf()}).status == 200
        assert one.post("/api/hosts/alpha/heartbeat", {"run": run, "status": "running"}).json["stop"] is True


def test_a_session_counts_on_every_node_until_it_is_ended_on_one(tmp_path, url):
    with nodes(tmp_path, url, dev=False, **settings()) as (one, two):
        cookie = cookie_of(sign_in(one, PASSWORD))
        assert two.get("/api/hosts", token=None, headers=cookie).status == 200
        with WebSocket(two.url, headers=dict(cookie, Origin=two.url)) as page:
            csrf = page.receive()["csrf"]
            assert one.call("POST", "/logout", raw=b"", token=None, headers=dict(cookie, **{"X-CSRF-Token": csrf})).status == 302
            assert two.get("/api/hosts", token=None, headers=cookie).status == 401
            with pytest.raises((EOFError, OSError)):
                while True:
                    page.receive()


def test_a_one_time_code_counts_once_on_all_nodes(tmp_path, url):
    with nodes(tmp_path, url, dev=False, **settings(NIXFLEET_TOTP_SECRET=TOTP)) as both, concurrent.futures.ThreadPoolExecutor(4) as pool:
        code = totp()
        answers = list(pool.map(lambda node: sign_in(node, PASSWORD, code).headers["Location"], both * 2))
        assert answers.count("/") == 1


def test_wrong_passwords_are_counted_on_all_nodes_together(tmp_path, url):
    """The limit also holds if all requests arrive at the same time."""
    with nodes(tmp_path, url, dev=False, **settings()) as both, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda node: sign_in(node, "wrong"), both * 4))
        assert sorted(answer.status for answer in answers) == [302] * 5 + [429] * 3
        assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in answers if answer.status == 429)
        assert [sign_in(node, PASSWORD).status for node in both] == [429] * 2  # also with the right password


def test_an_agents_budget_is_one_for_all_nodes(tmp_path, url, server):
    def call(node):
        return node.post("/api/hosts/alpha/test-progress", {"current": 1, "total": 3, "passed": 1, "running": True}).status

    with nodes(tmp_path, url) as (one, two):
        assert one.get("/api/hosts/alpha/poll").status == 200
        assert [call(one) for _ in range(60)] == [200] * 60
        wait_for(lambda: server.sql("SELECT max(count) FROM calls") == "60", what="a count that the other node can read")
        taken = []
        wait_for(lambda: taken.append(call(two)) or taken[-1] == 429, what="a node that has learned of the calls")
        assert len(taken) < 60


# ---- kills

class Balancer(Proxy):
    """haproxy without TLS, so `ca` is not used. upstream: the addresses of the nodes."""

    def command(self):
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = self.directory / "haproxy.cfg"
        servers = "\n".join(f"  server n{i} {address} check inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions"
                            for i, address in enumerate(self.upstream))
        configuration.write_text(f"""
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 600s
frontend all
  bind 127.0.0.1:{self.port}
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk
  http-check send meth GET uri /health ver HTTP/1.1 hdr Host localhost
  option redispatch
  retries 3
{servers}
""")
        return [HAPROXY, "-db", "-f", str(configuration)]


class Page(threading.Thread):
    """A page that shows the hosts and a log. When its channel ends, the page connects again and continues where it was."""

    def __init__(self, url, run):
        super().__init__(daemon=True)
        self.url, self.run_id, self.lines, self.hosts, self.channels, self.stopping = url, run, [], {}, 0, False

    def run(self):
        while not self.stopping:
            try:
                with WebSocket(self.url) as channel:
                    channel.socket.settimeout(1)
                    if channel.status != 101:
                        continue
                    self.channels += 1
                    channel.send({"op": "subscribe"})
                    channel.send({"op": "tail", "run": self.run_id, "from": len(self.lines)})
                    self.follow(channel)
            except (OSError, EOFError, IndexError):
                time.sleep(0.05)

    def follow(self, channel):
        while not self.stopping:
            try:
                message = channel.receive()
            except TimeoutError:
                if channel.buffer:
                    raise EOFError from None
                continue
            if message["type"] == "splice":
                self.lines[message["from"]:] = message["lines"]
            elif message["type"] in ("hosts", "changed"):
                self.hosts.update((host["id"], host["state"]) for host in message["hosts"])


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not here")
def test_a_node_that_is_killed_behind_haproxy_costs_neither_lines_nor_a_page(tmp_path, url):
    with nodes(tmp_path, url) as both:
        for node in both:  # the same port after each start
            node.command[node.command.index("127.0.0.1:0")] = f"127.0.0.1:{free_port()}"
            node.kill()
            node.start()
        with Balancer(tmp_path / "proxy", None, [node.url.removeprefix("http://") for node in both]) as balancer:
            running = writers.start(balancer, RUNS, pause=RUNS / 200)
            wait_for(lambda: all(writer.acked for writer in running), seconds=120, what="writers that are acknowledged")
            pages = [Page(balancer.url, writer.run_id) for writer in running[:PAGES]]
            for page in pages:
                page.start()
            for i in range(6):
                victim, before = both[i % 2], [writer.acked for writer in running]
                victim.kill()
                wait_for(lambda b=before: all(writer.acked > had for writer, had in zip(running, b)), seconds=120, what="runs that go on at the other node")
                victim.start()
            writers.stop(running)
            for writer in running:
                writers.check(both[0], writer)
                writers.check(both[1], writer)
            for writer, page in zip(running, pages):
                stored = writers.whole(both[0], writer.host, writer.run_id).splitlines()
                wait_for(lambda p=page, s=stored: p.lines == s, seconds=60, what="a page that shows all")
                wait_for(lambda p=page: p.hosts == {writer.host: "busy" for writer in running}, seconds=60, what="a page that shows all hosts")
                page.stopping = True
            channels = sum(page.channels for page in pages)
            assert channels > len(pages)  # some pages have lost their node and connected again
            print(f"{len(running)} runs, {sum(writer.acked for writer in running)} lines, {len(pages)} pages, {channels} channels")
            for page in pages:
                page.join()


def kill_dashboard(server, nodes_, chance):
    node = chance.choice(nodes_)
    node.kill()
    node.start()


def kill_database(server, nodes_, chance):
    server.kill()
    server.start()


def kill_both(server, nodes_, chance):
    server.kill()
    node = chance.choice(nodes_)
    node.kill()
    server.start()
    node.start()


@pytest.mark.parametrize("kill", [kill_dashboard, kill_database, kill_both])
def test_every_acknowledged_line_survives_kills_under_load(tmp_path, kill):
    chance = random.Random(kill.__name__)
    with Postgres(durable=True) as server, nodes(tmp_path, server.database()) as both:
        running = writers.start(both[0], 3) + writers.start(both[1], 3, first=3)
        for i in range(ROUNDS):
            if i % 10 == 9:
                print(f"{kill.__name__}: {i + 1} of {ROUNDS}, {sum(writer.acked for writer in running)} lines", flush=True)
            before = sum(writer.acked for writer in running)
            time.sleep(chance.random() * 0.1)
            kill(server, both, chance)
            wait_for(lambda b=before: sum(writer.acked for writer in running) > b, seconds=60, what="lines that are taken again")
        writers.stop(running)
        for writer in running:
            writers.check(both[0], writer)


def test_while_postgresql_is_away_nothing_wrong_is_said(tmp_path):
    """The answer is 503 with Retry-After, never "no such host", "signed out" or "no such token"; afterwards all continues by itself."""
    with Postgres() as server, nodes(tmp_path, server.database(), 1, dev=False, **settings()) as (node,):
        run = str(uuid.uuid4())
        assert post(node, "alpha", run, ["one"]).status == 200
        cookie = cookie_of(sign_in(node, PASSWORD))
        page = WebSocket(node.url, headers=dict(cookie, Origin=node.url))
        page.receive()
        server.stop(signal.SIGQUIT)
        calls = [("GET", "/api/hosts"), ("GET", "/api/hosts/alpha"), ("GET", f"/api/hosts/alpha/runs/{run}/log"), ("GET", f"/api/hosts/alpha/runs/{run}"),
                 ("GET", "/api/hosts/nobody"), ("GET", "/api/runs"), ("GET", "/api/search?q=x")]
        for method, path in calls:
            answer = node.call(method, path, token=None, headers=cookie)
            assert (answer.status, answer.headers["Retry-After"] is not None) == (503, True), (path, answer.status, answer.body)
        for token in ("a-wrong-token", None):
            assert node.post("/api/hosts/alpha/logs", {"run": run, "lines": ["x"]}, token=token).status in (401, 503)
        answer = post(node, "alpha", run, ["two"], **{"from": 1})
        assert (answer.status, answer.headers["Retry-After"] is not None) == (503, True)
        assert node.get("/health", token=None).status == 503
        assert node.get("/", token=None, headers=cookie).status in (200, 503)
        with pytest.raises((EOFError, OSError)):  # the page is told to wait
            while True:
                page.receive()
        page.socket.close()
        server.start()
        wait_for(lambda: post(node, "alpha", run, ["two"], **{"from": 1}).status == 200, what="a batch that is taken")
        wait_for(lambda: node.get("/api/hosts", token=None, headers=cookie).status == 200, what="a page that is served")
        assert node.get(f"/api/hosts/alpha/runs/{run}/log", token=None, headers=cookie).body.decode().splitlines() == ["one", "two"]
        wait_for(lambda: node.get("/health", token=None).status == 200, seconds=40, what="health")


def test_a_standby_takes_over(tmp_path):
    with Postgres(durable=True, settings=["wal_level=replica", "max_wal_senders=4"]) as primary:
        primary.database()
        primary.sql("SELECT 1")
        with Postgres(durable=True, standby_of=primary) as standby:
            primary.sql("ALTER SYSTEM SET synchronous_standby_names='*'", "postgres")
            primary.sql("SELECT pg_reload_conf()", "postgres")
            url = (f"postgresql://nixfleet@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/nixfleet?target_session_attrs=read-write")
            with nodes(tmp_path, url) as both:
                running = writers.start(both[0], 2) + writers.start(both[1], 2, first=2)
                wait_for(lambda: all(writer.acked > 50 for writer in running), what="writers that are acknowledged")
                primary.kill()
                before = [writer.acked for writer in running]
                standby.promote()
                standby.sql("ALTER SYSTEM SET synchronous_standby_names=''", "postgres")
                standby.sql("SELECT pg_reload_conf()", "postgres")
                wait_for(lambda: all(writer.acked > b + 50 for writer, b in zip(running, before)), seconds=60, what="writers that go on at the standby")
                writers.stop(running)
                for writer in running:
                    writers.check(both[1], writer)
