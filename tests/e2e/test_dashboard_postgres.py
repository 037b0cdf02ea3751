"""PostgreSQL as the store: what the dashboard says of a server that will not do, TLS, partitions, versions side by side."""
import os
import shutil
import subprocess
import time
import uuid

import pytest
from lib.dashserver import BIN, TOKEN, Dashboard, wait_for
from lib.people import settings
from lib.postgres import Postgres, free_port
from lib.proxies import CA


@pytest.fixture(scope="module", name="ca")
def a_ca(tmp_path_factory):
    return CA(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module", name="server")
def a_server():
    with Postgres() as server:
        yield server


def check(store):
    """The exit status of --check-config and what it says."""
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
    assert server.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'chunks_w%' AND relkind='r'", "fleet") == "3"  # of copied runs, this week, the next


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


def test_the_lines_of_a_past_week_go_as_one_table_with_the_last_of_its_runs(server, tmp_path):
    url, run = server.database(), str(uuid.uuid4())
    week = int(time.time()) // 604800 - 3
    with Dashboard(tmp_path, NIXFLEET_STORE=url) as dashboard:
        assert dashboard.post("/api/hosts/alpha/logs", {"run": run, "lines": ["old"], "exit": {"code": 0}}).status == 200
        dashboard.kill()  # it would drop the empty table
        server.sql(f"CREATE TABLE chunks_w{week} PARTITION OF chunks FOR VALUES FROM ({week << 32}) TO ({week + 1 << 32})")
        key = server.sql(f"SELECT k FROM runs WHERE id='{run}'")
        server.sql(f"UPDATE runs SET k={(week << 32) + 7} WHERE k={key}")
        server.sql(f"UPDATE chunks SET run={(week << 32) + 7} WHERE run={key}")
        dashboard.start()
        is_there = f"SELECT count(*) FROM pg_class WHERE relname='chunks_w{week}'"
        assert server.sql(is_there) == "1"  # a run is left
        assert dashboard.call("DELETE", f"/api/hosts/alpha/runs/{run}", headers={"X-CSRF-Token": dashboard.csrf()}).status == 200
        dashboard.kill()
        dashboard.start()
        wait_for(lambda: server.sql(is_there) == "0", what="the table that is dropped")
        assert dashboard.post("/api/hosts/alpha/logs", {"lines": ["new"]}).status == 200


def test_backup_and_restore_name_the_tools_of_postgresql(server, tmp_path):
    url = server.database()
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        done = subprocess.run([str(BIN / "nixfleet-dashboard"), "--config", "/dev/null", "--data", str(tmp_path), command, str(tmp_path / "file")],
                              env=dict(os.environ, NIXFLEET_STORE=url), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and tool in done.stderr
