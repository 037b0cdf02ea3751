"""No value of a secret variable leaves the machine, in any encoding."""
import base64
import html
import json
import pathlib
import shlex
import subprocess
import sys
import urllib.parse

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))
from faultserver import FaultServer
from helperrun import TOKEN, HelperRun, end_behind, environment, flush
from wrapper import RUN

SECRET = "correct-horse-battery"


def everything(server):
    return "\n".join(str(message) for run in server.runs.values() for _, message in run.batches + run.heartbeats)


def test_a_secret_is_replaced_whole_coloured_split_and_in_a_long_line(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, DEPLOY_PASSWORD=SECRET) as run:
        run.write(f"plain {SECRET} end\n")
        run.write(f"\x1b[31mcorrect-\x1b[1mhorse\x1b[0m-battery\n")
        run.write("in two writes: correct-horse")
        server.wait(lambda: server.text() and "in two writes" in server.text())
        assert "correct" not in everything(server)
        run.write("-battery end\n")
        for before in range(16384 - 24, 16384 + 2, 3):
            run.write("x" * before + SECRET + "y" * 50 + "\n")
        run.write(f"the token: {TOKEN}\n")
        run.finish()
        assert "correct-h" not in everything(server) and "-battery" not in everything(server)
        assert "horse" not in everything(server) and TOKEN not in everything(server)
        assert server.run().lines[0] == "plain [redacted] end"
        assert server.run().lines[2] == "in two writes: [redacted] end"
        assert not server.violations


def test_an_error_that_is_too_long_to_be_sent_whole_does_not_end_in_the_middle_of_a_secret(tmp_path):
    with FaultServer() as server, HelperRun(tmp_path, server.url, status=1, DEPLOY_PASSWORD=SECRET) as run:
        run.write(f"error: {'x' * 500} {SECRET}\n")
        run.finish()
        assert server.run().end["error"].startswith("error: xxx") or server.run().end["error"].startswith("xxx")
        assert "correct" not in everything(server)


def test_a_flush_from_another_environment_replaces_the_same(tmp_path):
    server = FaultServer()
    server.stop()
    with HelperRun(tmp_path, server.url, DEPLOY_PASSWORD=SECRET, NIXFLEET_FLUSH_TIMEOUT=1) as run:
        run.write(f"a {SECRET} b\n")
        run.finish()
    server.start()
    assert flush(tmp_path, server.url).returncode == 0
    assert server.text() == "a [redacted] b"
    server.stop()


def wrapped(state, url, *command, options=(), **extra):
    return subprocess.run([RUN, *options, "--", *command], env=environment(state, url, **extra), capture_output=True, text=True,
                          errors="surrogateescape", timeout=30, stdin=subprocess.DEVNULL)


# Secret values of many kinds, and a program that prints a value in each usual encoding.
VALUES = ["hunter2secretvalue", 'pa"ss\\wo\'rd 1', "p\xe4sswörd/+=?&", "tab\tbed  secret", "$(id) `x` !y; z*", "f" + "x9" * 3000]
PRINTER = r"""
import base64, html, json, os, shlex, urllib.parse
value = os.environ["X_KEY"]
raw = os.fsencode(value)
forms = [value, json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps({"token": value}, indent=2),
         urllib.parse.quote(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value),
         shlex.quote(value), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(),
         base64.b64encode(b"user:" + raw).decode(), base64.b64encode(b"me:" + raw).decode(), base64.b64encode(b"x:" + raw).decode(),
         base64.b64encode(raw + b"\n").decode(), base64.encodebytes(raw).decode(),
         json.dumps(json.dumps(value)), json.dumps(json.dumps({"token": value}, ensure_ascii=False)), json.dumps(value).replace("/", "\\/"),
         html.escape(value), html.escape(value, quote=False), value.replace("'", "''"), ascii(value), repr(raw), repr(value),
         urllib.parse.quote(base64.b64encode(raw).decode(), safe=""), urllib.parse.quote(value, safe="").lower() if value.islower() else value,
         value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")]
for form in forms:
    print("<<", form.replace("\n", "\n   "), ">>")
"""


def windows(text, size):
    return {text[at:at + size] for at in range(len(text) - size + 1)}


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_every_usual_form_of_a_value_is_replaced(value, tmp_path):
    forms = {value, html.escape(value), json.dumps(json.dumps(value))[3:-3], ascii(value)[1:-1], repr(value.encode())[2:-1], json.dumps(value), urllib.parse.quote(value), urllib.parse.quote_plus(value), shlex.quote(value),
             base64.b64encode(value.encode()).decode(), base64.b64encode(b"xy:" + value.encode()).decode()[4:]}
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "python3", "-c", PRINTER, X_KEY=value)
        assert done.returncode == 0, done.stderr
        for shell in ('zsh -fc \'print -r -- ${(q)X_KEY} ${(qq)X_KEY} ${(qqqq)X_KEY}\'', "fish --no-config -c 'string escape -- $X_KEY'"):
            wrapped(tmp_path, server.url, "sh", "-c", f"! command -v {shell.split()[0]} >/dev/null || {shell}", X_KEY=value)
        wrapped(tmp_path, server.url, "bash", "-xc", 'printf "%q\\n" "$X_KEY"; : "$X_KEY"; echo "$X_KEY" | base64', X_KEY=value)
        text = everything(server)
        assert text.count("[redacted]") >= 15
        for form in forms:
            for window in windows(form, 12):
                assert window not in text.replace("[redacted]", ""), window


def test_a_value_that_is_no_utf8_is_replaced(tmp_path):
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "sh", "-c", "echo a $X_KEY b", X_KEY=b"p\xe4ssw\xf6rd1".decode("utf-8", "surrogateescape"))
        assert server.text() == "a [redacted] b"


NAMES = """AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN npm_config__authToken DOCKER_AUTH_CONFIG RESTIC_PASSWORD BORG_PASSPHRASE GPG_PASS MYSQL_PWD
TF_VAR_db_password password apiKey AccessToken client_secret SecretKey JWT SERVICE_JWT PRIVATEKEY ACCESSKEY PASSCODE AUTHORIZATION
HTTP_AUTHORIZATION PGPASS GITHUB_PAT SECRET_KEY_BASE DB_PASSWORD_1 SECRET1 TOKEN2 KEY_SECRET_2 LUKS_PASSPHRASE_2 REDISCLI_AUTH PASSPHRASES""".split()


def test_the_names_that_programs_use_are_known(tmp_path):
    values = {name: f"zq{number * 7919}Xv{name[::-1]}" for number, name in enumerate(NAMES)}
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "env", **values, KEYBOARD="us-intl-layout", TOKENIZER="wordpiece-large", MONKEY="capuchin-monkey")
        text = everything(server)
        assert [name for name, value in values.items() if value in text] == []
        assert all(plain in text for plain in ("us-intl-layout", "wordpiece-large", "capuchin-monkey"))


def test_three_hundred_values_are_all_replaced(tmp_path):
    values = {f"V{n}_TOKEN": f"value-{n * 7919}-of-{n}" for n in range(300)}
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "sh", "-c", "env | grep _TOKEN | sort", **values)
        lines = server.text().splitlines()
        assert sum(line.endswith("=[redacted]") for line in lines) >= 300 and "value-" not in everything(server)


def test_secrets_in_words_of_the_command_urls_and_nix_settings_are_replaced(tmp_path):
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "env", "X_KEY=hunter2inwords", "sh", "-c", "echo $X_KEY $DB_URL; echo $NIX_CONFIG", "--api-key=hunter2option",
                options=["--name", "n-hunter2inwords"], DB_URL="postgres://u:hunter2url@h/d", NIX_CONFIG="access-tokens = github.com=hunter2nix")
        assert server.run().description["command"].startswith("env X_KEY=[redacted] sh")
        assert "hunter2" not in everything(server)


# The text is cut within or near the secret, and a later flush, whose environment does not have the secret, delivers the text.
@pytest.mark.parametrize("before", [60, 90, 330, 480, 505, 511, 520])
@pytest.mark.parametrize("message", ["error: {}", "error: builder for '/nix/store/{}.drv' failed", "[1/3 built] building {}"])
def test_a_cut_text_shows_nothing_of_a_value_after_a_flush(message, before, tmp_path):
    secret = "Zx9" + "".join(chr(97 + i % 26) + str(i % 10) for i in range(100))
    server = FaultServer()
    server.stop()
    text = message.format("p" * before + " " + secret)
    wrapped(tmp_path, server.url, "sh", "-c", f'echo "$TEXT"; exit 1', X_KEY=secret, TEXT=text)
    end_behind(tmp_path)
    server.start()
    assert flush(tmp_path, server.url).returncode == 0
    sent = everything(server)
    assert not any(window in sent for window in windows(secret, 8))
    server.stop()


def test_what_cannot_be_known_is_said_once_by_name(tmp_path):
    with FaultServer() as server:
        done = wrapped(tmp_path, server.url, "true", X_KEY="switch", Y_TOKEN="12", Z_TOKEN="long-enough")
        assert done.stderr.count("X_KEY, Y_TOKEN") == 1 and "Z_TOKEN" not in done.stderr


def test_a_pattern_adds_to_those_of_other_sources(tmp_path):
    (tmp_path / "nixfleet").mkdir()
    (tmp_path / "nixfleet/run.conf").write_text("NIXFLEET_REDACT=FILE_*\n")
    with FaultServer() as server:
        wrapped(tmp_path, server.url, "sh", "-c", "echo $FILE_X $MYVAR $OTHER", options=["--redact", "OTHER"], NIXFLEET_REDACT="MYVAR",
                FILE_X="hunter2file", MYVAR="hunter2mine", OTHER="hunter2other")
        assert server.text() == "[redacted] [redacted] [redacted]"


@pytest.mark.parametrize("pattern", ["[", "A;B", "A B[", "x]"])
def test_a_pattern_that_matches_nothing_by_mistake_is_reported(pattern, tmp_path):
    done = wrapped(tmp_path, "", "true", options=["--redact", pattern])
    assert done.returncode == 125 and "pattern" in done.stderr
