"""PostgreSQL as the store: what the dashboard says about an unsuitable server, TLS, partitions, versions side by side."""
import datetime
import os
import pathlib
import shutil
import subprocess
import time
import uuid

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard, wait_for
from lib.people import settings
from lib.postgres import Postgres, free_port
from lib.proxies import CA

BUILD = pathlib.Path(os.environ.get("NIXFLEET_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build")
SHIM = BUILD / "tools/shim_clock.so"
DAY = 24 * 3600
needs_shim = pytest.mark.skipif(not SHIM.exists() or bool(os.environ.get("NIXFLEET_ASAN")), reason="no shim, or a sanitizer's library must come first")


@pytest.fixture(scope="module", name="ca")
def a_ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", name="server")
def a_server():
    with Postgres() as server:
        yield server


def check(store):
    """The exit status and the output of --check-config."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NIXFLEET_")}
    environment.update(settings(NIXFLEET_API_TOKEN=TOKEN, NIXFLEET_STORE=store))
    done = subprocess.run([str(BIN / "nixfleet-dashboard"), "--config", "/dev/null", "--check-config"], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_server_that_will_do_is_in_order_and_nothing_is_made(server):
    url = server.database()
    assert check(url)[0] == 0
    assert server.sql("SELECT count(*) FROM pg_class WHERE relname='kv'") == "0"


@pytest.mark.parametrize("store", ["postgres", "mysql://somewhere/x", "/var/lib/somewhere", "postgresql:/one-slash"])
def test_what_is_no_url_is_refused(store):
    status, said = check(store)
    assert status == 78 and "postgresql://USER@HOST/DATABASE" in said and "somewhere" not in said


def test_a_url_that_libpq_does_not_understand_is_told_in_words(server):
    status, said = check("postgresql://nixfleet:hidden-word@/nixfleet?sslmod=verify-full")
    assert status == 78 and "sslmod" in said and "hidden-word" not in said


def test_a_server_that_cannot_be_reached_is_told_in_words():
    status, said = check(f"postgresql://nixfleet@127.0.0.1:{free_port()}/nixfleet")
    assert status == 78 and "127.0.0.1" in said and "refused" in said


def test_a_database_that_is_not_there_is_named(server):
    status, said = check(server.url("nowhere"))
    assert status == 78 and '"nowhere" does not exist' in said


def test_a_database_in_another_encoding_is_refused(server):
    server.sql("DROP DATABASE IF EXISTS latin", "postgres")
    server.sql("CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0", "postgres")
    status, said = check(server.url("latin"))
    assert status == 78 and "UTF8" in said


def test_a_user_who_may_make_no_tables_is_told_so(server):
    url = server.database()
    server.sql("DROP ROLE IF EXISTS guest", "postgres")
    server.sql("CREATE ROLE guest LOGIN", "postgres")
    status, said = check(url.replace("nixfleet@", "guest@"))
    assert status == 78 and "owner of the database" in said


def test_the_owner_of_a_database_needs_no_other_privilege(server, tmp_path):
    server.sql("DROP DATABASE IF EXISTS fleet", "postgres")
    server.sql("DROP ROLE IF EXISTS fleet", "postgres")
    server.sql("CREATE ROLE fleet LOGIN", "postgres")
    server.sql("CREATE DATABASE fleet OWNER fleet", "postgres")
    with Dashboard(tmp_path, NIXFLEET_STORE=server.url("fleet").replace("nixfleet@", "fleet@")) as dashboard:
        assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["x"]}).status == 200
    assert server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'chunks_w%' AND relkind='r'", "fleet") == "3"  # copied runs, this week, next week


def test_tables_of_a_later_version_are_used_until_they_say_that_they_are_too_new(server, tmp_path):
    url = server.database()
    with Dashboard(tmp_path, NIXFLEET_STORE=url) as dashboard:
        assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["x"]}).status == 200
        server.sql("UPDATE kv SET value=value+1 WHERE name='schema'")  # a newer server has started beside this one
        server.sql("ALTER TABLE runs ADD COLUMN of_the_future bigint")
        assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["y"]}).status == 200
        dashboard.kill()
        dashboard.start()  # a restart during the upgrade
        assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["z"]}).status == 200
    server.sql("INSERT INTO kv(name, value) VALUES('schema_least',99)")
    assert "newer version" in check(url)[1]
    with pytest.raises(RuntimeError, match="newer version"):
        Dashboard(tmp_path, NIXFLEET_STORE=url)


def test_servers_that_start_at_once_make_the_tables_once(server, tmp_path):
    url = server.database()
    commands = [[str(BIN / "nixfleet-dashboard"), "--dev", "--listen", "127.0.0.1:0", "--data", str(tmp_path)]] * 4
    processes = [subprocess.Popen(command, env=dict(os.environ, NIXFLEET_STORE=url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                 for command in commands]
    try:
        for process in processes:
            assert "listening" in process.stderr.readline()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stderr.close()


def test_a_server_that_comes_a_moment_later_is_waited_for(tmp_path):
    with Postgres() as server:
        url = server.database()
        server.stop()
        process = subprocess.Popen([str(BIN / "nixfleet-dashboard"), "--dev", "--listen", "127.0.0.1:0", "--data", str(tmp_path)],
                                   env=dict(os.environ, NIXFLEET_STORE=url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            assert "trying" in process.stderr.readline()
            server.start()
            assert "listening" in process.stderr.readline()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def test_tls_is_verified_to_the_end(ca, tmp_path):
    with Postgres() as server:
        server.database()
        for name in ("server.pem", "server.key"):
            shutil.copy(ca.directory / name, server.data / name)
            (server.data / name).chmod(0o600)
            if server.owner:
                os.chown(server.data / name, server.owner.pw_uid, server.owner.pw_gid)
        server.stop()
        with open(server.data / "postgresql.conf", "a", encoding="ascii") as configuration:
            configuration.write("\nssl=on\nssl_cert_file='server.pem'\nssl_key_file='server.key'\n")
        server.start()
        other = tmp_path / "other"
        other.mkdir()
        CA(other)
        tls = f"postgresql://nixfleet@localhost:{server.port}/nixfleet?sslmode=verify-full&sslrootcert="
        assert check(tls + str(ca.ca))[0] == 0
        with Dashboard(tmp_path, NIXFLEET_STORE=tls + str(ca.ca)) as dashboard:
            assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["x"]}).status == 200
            assert server.sql("SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING(pid) WHERE s.ssl AND application_name LIKE "
                              "'nixfleet-dashboard%'") == "8"
        status, said = check(tls + str(other / "ca.pem"))
        assert status == 78 and "certificate verify failed" in said
        status, said = check((tls + str(ca.ca)).replace("localhost", "localhost.localdomain") + "&hostaddr=127.0.0.1")
        assert status == 78 and "does not match host name" in said


# ---- clocks

def state_of(node, host):
    seen = node.get(f"/api/hosts/{host}").json
    return seen["state"], seen["run"] and datetime.datetime.fromisoformat(seen["run"]["started"].replace("Z", "+00:00")).timestamp()


def heartbeat(node, host, run):
    assert node.post(f"/api/hosts/{host}/heartbeat", {"run": run, "status": "building", "name": "switch"}).status == 200


@needs_shim
def test_servers_whose_clocks_differ_agree(server, tmp_path):
    url, run = server.database(), str(uuid.uuid4())
    clocks = [tmp_path / "ahead", tmp_path / "behind"]
    for clock, days in zip(clocks, (2, -2)):
        clock.write_text(str(days * DAY * 1000))
    shims = [{"LD_PRELOAD": str(SHIM), "SHIM_CLOCK": str(clock)} for clock in clocks]
    with Dashboard(tmp_path / "a", NIXFLEET_STORE=url, **shims[0]) as one, Dashboard(tmp_path / "b", NIXFLEET_STORE=url, **shims[1]) as two:
        heartbeat(one, "alpha", run)
        for _ in range(2):
            for node in (one, two):
                state, started = state_of(node, "alpha")
                assert state == "busy" and abs(started - time.time()) < 60
            clocks[0].write_text(str(-40 * DAY * 1000))  # the clock of a server jumps
        assert two.post("/api/hosts/alpha/logs", {"run": run, "lines": ["x"], "exit": {"code": 0}}).status == 200
        assert state_of(one, "alpha")[0] == state_of(two, "alpha")[0] == "idle"


@needs_shim
def test_a_jump_of_postgresqls_clock_changes_no_state(tmp_path):
    run, over = str(uuid.uuid4()), str(uuid.uuid4())
    with Postgres(clock=SHIM) as server:
        url = server.database()
        with Dashboard(tmp_path / "a", NIXFLEET_STORE=url) as one, Dashboard(tmp_path / "b", NIXFLEET_STORE=url) as two:
            for days in (2, -2):
                heartbeat(one, "alpha", run)
                assert two.post("/api/hosts/beta/logs", {"run": over, "lines": ["x"], "exit": {"code": 0}}).status == 200
                server.set_clock(days * DAY)
                jumps = 1 if days > 0 else 2
                for node in (one, two):
                    wait_for(lambda n=node, j=jumps: n.log.count("the clock of PostgreSQL has jumped") == j, what="a server that sees the jump")
                now = time.time() + days * DAY
                for node in (one, two):
                    wait_for(lambda n=node, t=now: state_of(n, "alpha")[0] == "busy" and abs(state_of(n, "alpha")[1] - t) < 60, what="a run that has moved")
                    assert state_of(node, "beta")[1] < now + 60
                server.sql("DELETE FROM kv WHERE name='jumped'")  # the jump was long ago


def week_tables(server):
    return server.sql("SELECT relname FROM pg_class WHERE relname LIKE 'chunks\\_w%' AND relkind='r' AND relname<>'chunks_w0' ORDER BY 1").split()


@needs_shim
def test_retention_drops_tables_and_a_run_that_goes_on_keeps_only_its_own_lines(tmp_path):
    old, long, other, late = (str(uuid.uuid4()) for _ in range(4))
    is_there = "SELECT count(*) FROM chunks JOIN runs ON k=run WHERE id='%s'"

    def day(number):
        """Starts the dashboard on this day: at its start the dashboard removes old data, and makes and drops tables."""
        server.set_clock(number * DAY)
        dashboard.start()
        heartbeat(dashboard, "long", long)
        dashboard.get("/api/hosts")

    def end():
        wait_for(lambda: dashboard.get(f"/api/hosts/old/runs/{old}").status == 404, what="a run that is removed")
        dashboard.kill()

    with Postgres(clock=SHIM) as server:
        with Dashboard(tmp_path, NIXFLEET_STORE=server.database(), NIXFLEET_KEEP_DAYS="10") as dashboard:
            for host, run in (("old", old), ("long", long)):
                assert dashboard.post(f"/api/hosts/{host}/logs", {"run": run, "lines": ["line"], **({"exit": {"code": 0}} if run == old else {})}).status == 200
            first = week_tables(server)[0]
            dashboard.kill()
            day(9)
            assert dashboard.get(f"/api/hosts/old/runs/{old}").status == 200
            dashboard.kill()
            day(18)
            end()
            assert server.sql(is_there % old) == "1"  # the lines of the old run are not removed yet
            day(27)
            end()
            day(36)
            wait_for(lambda: server.sql(is_there % old) == "0", what="lines that have waited long enough")
            assert first in week_tables(server) and server.sql(is_there % long) == "1"
            assert dashboard.post("/api/hosts/other/logs", {"run": other, "lines": ["line"], "exit": {"code": 0}}).status == 200
            assert dashboard.post("/api/hosts/long/logs", {"run": long, "from": 1, "lines": ["end"], "exit": {"code": 0}}).status == 200
            assert dashboard.get(f"/api/hosts/long/runs/{long}/log").body == b"line\nend\n"
            dashboard.kill()
            server.set_clock(52 * DAY)
            reader = subprocess.Popen([f"{server.bin}/psql", "-X", "-q", "-d", server.url(), "-c", "BEGIN; LOCK TABLE chunks IN ACCESS SHARE MODE; SELECT pg_sleep(600)"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:  # as pg_dump does
                wait_for(lambda: server.sql("SELECT count(*) FROM pg_locks WHERE relation='chunks'::regclass") == "1", what="a reader of the tables")
                dashboard.start()
                for host, run in (("long", long), ("other", other)):
                    wait_for(lambda h=host, r=run: dashboard.get(f"/api/hosts/{h}/runs/{r}").status == 404, what="a run that is removed")
                assert dashboard.post("/api/hosts/late/logs", {"run": late, "lines": ["new"]}).status == 200
                assert server.sql(is_there % other) == "1"  # not removed row by row
            finally:
                server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid<>pg_backend_pid()")
                reader.wait(60)
            dashboard.kill()
            dashboard.start()
            wait_for(lambda: first not in week_tables(server) and server.sql(is_there % other) == "0", seconds=60, what="tables that are dropped")
            assert dashboard.post("/api/hosts/late/logs", {"run": late, "from": 1, "lines": ["more"]}).status == 200


def test_backup_and_restore_name_the_tools_of_postgresql(server, tmp_path):
    url = server.database()
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        done = subprocess.run([str(BIN / "nixfleet-dashboard"), "--config", "/dev/null", "--data", str(tmp_path), command, str(tmp_path / "file")],
                              env=dict(os.environ, NIXFLEET_STORE=url), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and tool in done.stderr
