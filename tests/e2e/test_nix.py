"""The Nix files, evaluated by a real nix against a stub of nixpkgs (tests/nix): the result for good values, and the errors
for wrong values."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUB = ROOT / "tests/nix/stub-nixpkgs.nix"

pytestmark = pytest.mark.skipif(not shutil.which("nix-instantiate"), reason="nix is not installed")


def instantiate(tmp_path, *arguments):
    """nix-instantiate --eval with a new store: no daemon, no /nix, no network, no configuration of the system or the user."""
    (tmp_path / "conf").mkdir(exist_ok=True)
    (tmp_path / "conf/nix.conf").write_text("build-users-group =\nsubstituters =\nsandbox = false\n")
    environment = dict(os.environ, NIX_CONF_DIR=str(tmp_path / "conf"), NIX_STORE_DIR=str(tmp_path / "store"),
                       NIX_STATE_DIR=str(tmp_path / "var"), NIX_REMOTE="", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    environment.pop("NIX_PATH", None)
    return subprocess.run(["nix-instantiate", "--eval", "--strict", "--json", *arguments], env=environment,
                          capture_output=True, text=True, timeout=60)


def evaluate(tmp_path, expression):
    result = instantiate(tmp_path, "-E", f"let pkgs = import {STUB} {{ }}; in {expression}")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def module(tmp_path, kind, values, system="x86_64-linux"):
    file = tmp_path / "values.nix"
    file.write_text(values)
    return instantiate(tmp_path, str(ROOT / "tests/nix/evaluate.nix"), "--argstr", "kind", kind, "--argstr", "values", str(file),
                       "--argstr", "system", system)


def configuration(tmp_path, kind, values, system="x86_64-linux"):
    result = module(tmp_path, kind, values, system)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


RUN = '{ programs.nixfleet-run = { enable = true; url = "https://fleet.example.org"; %s }; }'
DASHBOARD = '{ services.nixfleet-dashboard = { enable = true; environmentFile = "/run/secrets/dashboard"; %s }; }'


# ---- package, flake, shell

def test_the_package_has_the_libraries_that_the_makefile_links(tmp_path):
    package = evaluate(tmp_path, f"let p = import {ROOT}/default.nix {{ inherit pkgs; }}; in "
                                 "{ inherit (p) pname version; inputs = map (x: x.name) p.buildInputs; meta = p.meta; }")
    assert package["pname"] == "nixfleet"
    assert {"curl", "json_c", "openssl", "libmicrohttpd", "pcre2", "wslay", "sqlite", "libpq", "libxcrypt", "oath-toolkit", "libbsd",
            "libmd"} == set(package["inputs"])
    assert package["meta"]["mainProgram"] == "nixfleet-run"
    assert package["version"] == (ROOT / "VERSION").read_text().strip()


def test_the_package_needs_no_libbsd_on_macos(tmp_path):
    names = evaluate(tmp_path, f"let mac = import {STUB} {{ system = \"aarch64-darwin\"; }}; in "
                               f"map (x: x.name) (import {ROOT}/default.nix {{ pkgs = mac; }}).buildInputs")
    assert "libbsd" not in names and "libmd" not in names and "curl" in names


@pytest.mark.parametrize("system", ["x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"])
def test_the_flake_has_package_checks_and_shell_for_each_system(tmp_path, system):
    outputs = evaluate(tmp_path, f"""let
        flake = import {ROOT}/flake.nix;
        each = system: import {STUB} {{ inherit system; }};
        nixpkgs = {{ inherit (pkgs) lib; legacyPackages = pkgs.lib.genAttrs
          [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] each; }};
        o = flake.outputs {{ self = o; inherit nixpkgs; }};
      in {{
        package = o.packages.{system}.default.pname;
        checks = builtins.attrNames o.checks.{system};
        unit = o.checks.{system}.unit.pname;
        shell = map (p: p.name) o.devShells.{system}.default.arguments.packages;
        modules = [ (builtins.isFunction o.nixosModules.default) (builtins.isFunction o.homeManagerModules.default) ];
      }}""")
    assert outputs["package"] == "nixfleet"
    assert outputs["checks"] == ["package", "unit"] and outputs["unit"] == "nixfleet-unit-tests"
    assert "cmocka" in outputs["shell"] and ("chromium" in outputs["shell"]) == system.endswith("-linux")
    assert outputs["modules"] == [True, True]


def test_the_shell_has_every_tool_that_a_target_asks_for(tmp_path):
    """install-deps says that these tools come with the shell."""
    shell = set(evaluate(tmp_path, f"map (p: p.name) (import {ROOT}/shell.nix {{ inherit pkgs; }}).arguments.packages"))
    of_stdenv = {"cc", "make", "pkg-config"}
    package = {"nix-build": "nix", "python3": "python3-env", "clang-format": "clang-tools", "clang-tidy": "clang-tools",
               "node": "nodejs", "initdb": "postgresql", "unbuffer": "expect", "script": "util-linux"}
    tools = re.search(r"^tools\(\) \{(.*?)^\}", (ROOT / "scripts/install-deps").read_text(), re.MULTILINE | re.DOTALL)[1]
    wanted = {word for line in re.findall(r"echo (.*) ;;", tools) for word in line.split()}
    assert len(wanted) > 15
    assert {package.get(tool, tool) for tool in wanted - of_stdenv} <= shell


# ---- NixOS

def test_run_conf_holds_the_settings_and_never_the_token(tmp_path):
    config = configuration(tmp_path, "nixos", RUN % 'host = "hsb1"; tokenFile = "/run/secrets/token"; heartbeat = 15; '
                           'redact = [ "*_PIN" "SEED" ]; pinnedPubkey = "sha256//AAAA="; extraSettings.NIXFLEET_KEEP_RUNS = 500;')
    lines = config["environment"]["etc"]["nixfleet/run.conf"]["text"].splitlines()
    assert 'NIXFLEET_URL="https://fleet.example.org"' in lines
    assert 'NIXFLEET_HOST="hsb1"' in lines
    assert 'NIXFLEET_TOKEN_FILE="/run/secrets/token"' in lines
    assert 'NIXFLEET_HEARTBEAT="15"' in lines
    assert 'NIXFLEET_REDACT="*_PIN,SEED"' in lines
    assert 'NIXFLEET_KEEP_RUNS="500"' in lines
    assert not [line for line in lines if line.startswith("NIXFLEET_TOKEN=")]
    assert len(config["environment"]["systemPackages"]) == 1


def test_the_flush_timer_delivers_for_each_user(tmp_path):
    config = configuration(tmp_path, "nixos", RUN % 'flush.users = [ "root" "mba" ]; flush.interval = "1h";')
    assert set(config["systemd"]["timers"]) == {"nixfleet-flush-root", "nixfleet-flush-mba"}
    assert config["systemd"]["timers"]["nixfleet-flush-mba"]["timerConfig"]["OnUnitInactiveSec"] == "1h"
    service = config["systemd"]["services"]["nixfleet-flush-mba"]
    assert service["serviceConfig"]["User"] == "mba"
    assert service["serviceConfig"]["ExecStart"].endswith("/bin/nixfleet-run --flush")
    assert service["serviceConfig"]["NoNewPrivileges"] is True
    assert service["serviceConfig"]["SuccessExitStatus"] == 1
    assert service["restartIfChanged"] is False


def test_the_flush_for_root_reads_the_agents_token_file(tmp_path):
    config = configuration(tmp_path, "nixos", RUN % 'flush.users = [ "root" "mba" ];')
    services = config["systemd"]["services"]
    assert services["nixfleet-flush-root"]["serviceConfig"]["CapabilityBoundingSet"] == "CAP_DAC_READ_SEARCH"
    assert services["nixfleet-flush-mba"]["serviceConfig"]["CapabilityBoundingSet"] == ""


@pytest.mark.parametrize("values", ['flush.enable = false;', 'url = null;'])
def test_there_is_no_flush_timer_where_there_is_nothing_to_flush(tmp_path, values):
    text = RUN.replace('url = "https://fleet.example.org"; ', "") if "url" in values else RUN
    assert "timers" not in configuration(tmp_path, "nixos", text % values).get("systemd", {})


def test_nothing_is_set_when_nothing_is_enabled(tmp_path):
    config = configuration(tmp_path, "nixos", "{ }")
    assert config.get("systemd", {}) == {} and config.get("environment", {}) == {}


def test_the_dashboard_is_a_hardened_unit_with_its_secrets_outside_the_store(tmp_path):
    config = configuration(tmp_path, "nixos", DASHBOARD % "port = 8443; settings.NIXFLEET_TRUST_PROXY_HEADERS = true;")
    unit = config["systemd"]["services"]["nixfleet-dashboard"]
    service = unit["serviceConfig"]
    assert service["DynamicUser"] is True and service["ProtectSystem"] == "strict" and service["ProtectHome"] is True
    assert service["StateDirectory"] == "nixfleet-dashboard"
    assert "'/run/secrets/dashboard'" in service["ExecStartPre"] and service["ExecStartPre"].startswith("+")
    assert "EnvironmentFile" not in service and service["ExecReload"][0] == service["ExecStartPre"]
    assert "'127.0.0.1:8443'" in service["ExecStart"]
    assert service["CapabilityBoundingSet"] == ""
    assert unit["environment"] == {"NIXFLEET_TRUST_PROXY_HEADERS": "true"}


def test_a_postgresql_of_this_machine_comes_with_its_database_and_user(tmp_path):
    config = configuration(tmp_path, "nixos", DASHBOARD % 'store = "postgresql"; database.createLocally = true;')
    unit, server = config["systemd"]["services"]["nixfleet-dashboard"], config["services"]["postgresql"]
    assert unit["environment"]["NIXFLEET_STORE"] == "postgresql:///nixfleet-dashboard?host=/run/postgresql"
    assert {"postgresql.service", "postgresql.target"} <= set(unit["after"]) and unit["requires"] == ["postgresql.service"]
    assert server == {"enable": True, "ensureDatabases": ["nixfleet-dashboard"],
                      "ensureUsers": [{"name": "nixfleet-dashboard", "ensureDBOwnership": True}]}
    assert unit["serviceConfig"]["DynamicUser"] is True  # the dynamic user has the name of the unit


def test_a_dashboard_without_a_local_database_asks_for_none(tmp_path):
    for values in ("", 'store = "postgresql";'):
        config = configuration(tmp_path, "nixos", DASHBOARD % values)
        assert "postgresql" not in config["services"]
        assert "NIXFLEET_STORE" not in config["systemd"]["services"]["nixfleet-dashboard"].get("environment", {})


def test_a_dashboard_on_an_ipv6_address_has_it_in_brackets(tmp_path):
    config = configuration(tmp_path, "nixos", DASHBOARD % 'address = "::1";')
    assert "'[::1]:8000'" in config["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"]["ExecStart"]


def test_a_low_port_brings_the_one_capability_that_it_needs(tmp_path):
    config = configuration(tmp_path, "nixos", DASHBOARD % "port = 443;")
    assert config["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"]["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"


def test_the_unit_file_and_the_module_agree_on_the_hardening(tmp_path):
    lines = (ROOT / "dist/nixfleet-dashboard.service").read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    service = configuration(tmp_path, "nixos", DASHBOARD % "")["systemd"]["services"]["nixfleet-dashboard"]["serviceConfig"]
    for name, value in service.items():
        if name.startswith("Exec"):
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else "true" if value is True else str(value)
        if name == "SystemCallFilter":  # one line per list in a unit file
            assert [line.split("=", 1)[1] for line in lines if line.startswith(name)] == value
        else:
            assert unit.get(name) == text, name


# ---- home-manager

def test_home_manager_writes_the_users_run_conf_and_timer(tmp_path):
    config = configuration(tmp_path, "home-manager", RUN % 'tokenFile = "/home/mba/.token";')
    assert 'NIXFLEET_TOKEN_FILE="/home/mba/.token"' in config["xdg"]["configFile"]["nixfleet/run.conf"]["text"]
    assert config["systemd"]["user"]["timers"]["nixfleet-flush"]["Timer"]["OnUnitInactiveSec"] == "10min"
    assert config["systemd"]["user"]["services"]["nixfleet-flush"]["Service"]["SuccessExitStatus"] == 1
    assert config["systemd"]["user"]["services"]["nixfleet-flush"]["Service"]["ExecStart"].endswith("nixfleet-run --flush")
    assert "launchd" not in config


def test_home_manager_on_macos_uses_launchd(tmp_path):
    config = configuration(tmp_path, "home-manager", RUN % "", system="aarch64-darwin")
    assert config["launchd"]["agents"]["nixfleet-flush"]["config"]["ProgramArguments"][1:] == ["--flush"]
    assert config.get("systemd", {}).get("user") is None


# ---- wrong values

@pytest.mark.parametrize("values, words", [
    ("heartbeat = 4;", ["programs.nixfleet-run.heartbeat", "between 5 and 60", "4"]),
    ('heartbeat = "10";', ["programs.nixfleet-run.heartbeat", "integer"]),
    ("tokenFile = /etc/passwd;", ["programs.nixfleet-run.tokenFile", "string matching"]),
    ('tokenFile = "token";', ["programs.nixfleet-run.tokenFile", "string matching the pattern /.+"]),
    ('host = "-x";', ["programs.nixfleet-run.host"]),
    ('redact = "A";', ["programs.nixfleet-run.redact", "list of"]),
    ("flushTimeout = -1;", ["programs.nixfleet-run.flushTimeout"]),
    ('enable2 = true;', ["programs.nixfleet-run.enable2", "does not exist"]),
    ('extraSettings.NIXFLEET_TOKEN = "x";', ["NIXFLEET_TOKEN", "use tokenFile"]),
])
@pytest.mark.parametrize("kind", ["nixos", "home-manager"])
def test_a_wrong_value_of_the_wrapper_is_refused_with_the_name_of_its_option(tmp_path, kind, values, words):
    result = module(tmp_path, kind, RUN % values)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("url, words", [
    ("ftp://fleet", ["programs.nixfleet-run.url", "string matching"]),
    ("http://fleet.example.org", ["plain http", "allowInsecureHttp"]),
    ("http://localhost.example.org", ["plain http", "allowInsecureHttp"]),
])
def test_a_wrong_url_is_refused(tmp_path, url, words):
    result = module(tmp_path, "nixos", '{ programs.nixfleet-run = { enable = true; url = "%s"; }; }' % url)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000/"])
def test_plain_http_to_this_host_is_taken(tmp_path, url):
    configuration(tmp_path, "nixos", '{ programs.nixfleet-run = { enable = true; url = "%s"; }; }' % url)


def test_a_token_file_in_the_store_is_refused(tmp_path):
    result = module(tmp_path, "nixos", RUN % 'tokenFile = "${builtins.storeDir}/abc-token";')
    assert result.returncode != 0 and "in the store" in result.stderr


@pytest.mark.parametrize("values, words", [
    ("port = 70000;", ["services.nixfleet-dashboard.port", "16 bit"]),
    ('address = "a host";', ["services.nixfleet-dashboard.address"]),
    ('settings.NIXFLEET_API_TOKEN = "x";', ["NIXFLEET_API_TOKEN", "environmentFile"]),
    ('store = "mysql";', ["services.nixfleet-dashboard.store"]),
    ("database.createLocally = true;", ["createLocally", "postgresql"]),
    ("settings.A = [ ];", ["services.nixfleet-dashboard.settings"]),
    ('listen = "x";', ["services.nixfleet-dashboard.listen", "does not exist"]),
])
def test_a_wrong_value_of_the_dashboard_is_refused(tmp_path, values, words):
    result = module(tmp_path, "nixos", DASHBOARD % values)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr


def test_a_dashboard_without_secrets_is_refused(tmp_path):
    result = module(tmp_path, "nixos", "{ services.nixfleet-dashboard.enable = true; }")
    assert result.returncode != 0 and "environmentFile is needed" in result.stderr


@pytest.mark.parametrize("kind, prefix", [("nixos", "services.nixfleet-dashboard"), ("nixos", "programs.nixfleet-run"),
                                          ("home-manager", "programs.nixfleet-run")])
def test_every_option_has_a_type_and_a_description(tmp_path, kind, prefix):
    """The stub of mkOption requires both; this test requires that they are not empty."""
    file = {"nixos": "module.nix", "home-manager": "home-manager.nix"}[kind]
    options = evaluate(tmp_path, f"""let
        m = import {ROOT}/nix/{file} {{ inherit pkgs; inherit (pkgs) lib; config = throw "not needed"; }};
        describe = n: o: if o ? _type then [ {{ name = n; type = o.type.name; text = o.description; }} ]
          else builtins.concatLists (map (k: describe "${{n}}.${{k}}" o.${{k}}) (builtins.attrNames o));
      in describe "{prefix}" m.options.{prefix}""")
    assert len(options) > 5
    for option in options:
        assert option["type"] and len(option["text"]) > 15, option["name"]
