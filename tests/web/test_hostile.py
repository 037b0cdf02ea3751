"""A host may write anything into any of its fields: the page of the real dashboard shows it as text."""

import urllib.error
import uuid

import pytest

MARKUP = "<img src=x onerror=window.pwned=1>"
ATTACKS = [MARKUP, "</td><svg onload=window.pwned=1>", "\"'><script>window.pwned=1</script>", "javascript:window.pwned=1"]
REGISTER = ("location", "icon", "comment", "test_status", "config_repo", "agent_version", "nixpkgs_version", "os_version", "os_name", "current_generation",
            "theme_color", "device_type", "criticality", "host_type")
LINES = [*ATTACKS, "\x1b]8;;javascript:window.pwned=1\x07click\x1b]8;;\x07", "\x1b[31;<script>m red", "\u202egnp.exe", "&lt;b&gt; ${7*7} {{7*7}}", "__proto__",
         "error: " + MARKUP, "building '/nix/store/" + MARKUP + ".drv'", "https://example.org/\"onmouseover=\"window.pwned=1"]


@pytest.fixture
def page(signed_in):
    return signed_in


def post(dashboard, path, body):
    """Returns 1, or 0 if the server refused the field. Refusing is safe, too."""
    try:
        dashboard.post(path, body)
        return 1
    except urllib.error.HTTPError as refused:
        assert refused.code in (400, 413, 422), refused.code
        return 0


def fields(host, run, attack):
    """Every field that a host can write: (its name, the call, the body)."""
    v1, logs, beat = f"/api/hosts/{host}/", f"/api/hosts/{host}/logs", f"/api/hosts/{host}/heartbeat"
    known = {"run": run, "status": "building", "phase": "building"}
    end = {"run": run, "from": len(LINES), "lines": [attack], "exit": {"code": 1}}
    yield "lines", logs, {"run": run, "from": 0, "lines": LINES}
    for field in REGISTER:
        value = attack[:20] if field == "agent_version" else attack
        yield field, v1 + "register", {"hostname": host, "host_type": "nixos", field: value}
    for metric in ("cpu", "ram", "swap", "load", attack):
        yield f"metrics.{metric}", v1 + "register", {"hostname": host, "host_type": "nixos", "metrics": {metric: attack}}
    for field in ("output", "comment", "test_status", "current_generation"):
        yield f"status: {field}", v1 + "status", {"status": "error", field: attack}
    for field in ("result", "comment"):
        yield f"tests: {field}", v1 + "test-progress", {"current": 1, "total": 1, "running": False, field: attack}
    for field in ("command", "name", "user", "phase", "status"):
        yield f"heartbeat: {field}", beat, {**known, field: attack}
    yield "argv", beat, {**known, "argv": [attack, attack]}
    yield "progress.current", beat, {**known, "progress": {"current": attack, "built": 1, "to_build": 2}}
    yield "progress.*", beat, {**known, "progress": {attack: 1}}
    for field in ("name", "machine", "step"):
        yield f"derivations.{field}", logs, {"run": run, "derivations": [{"n": 0, "name": "a", "state": "failed", **{field: attack}}]}
    yield "changes", logs, {"run": run, "changes": [{"profile": attack, "old_generation": 1, "new_generation": 2, "packages": [{"name": attack, "old": attack, "new": attack}]}]}
    for field, value in (("error", attack), ("outcome", attack), ("failed", [attack]), ("failed_units", [attack]), ("exit", {"signal": attack})):
        yield field, logs, {**end, field: value}


def fill(dashboard, attack, number):
    """Writes the attack into every field, one call for each: a refused field would take others with it. Returns the accepted fields."""
    host, run = f"hostile{number}", str(uuid.uuid4())
    dashboard.register(host)
    return host, run, [name for name, path, body in fields(host, run, attack) if post(dashboard, path, body)]


def test_the_fields_are_as_many_as_were_tried_by_hand():
    assert len({name for name, _, _ in fields("h", "r", MARKUP)}) + len(LINES) - 1 >= 45


LIES = {
    "https://good.example/": "https://evil.example/",
    "https://good.example/login": "https://good.example@evil.example/login",
    "click": "https://evil.example/" + "x" * 2000,
}


def test_a_link_whose_text_lies_shows_its_host_and_on_demand_its_target(page, dashboard):
    link = "\x1b]8;;%s\x1b\\%s\x1b]8;;\x1b\\"
    many = "".join(link % (f"https://many.example/{n}", n) for n in range(400))
    lines = [*(link % (target, text) for text, target in LIES.items()), "https://good.example@evil.example/", many, "https://good.example/ is itself"]
    run = dashboard.has("liar", lines)
    page.load(f"/#liar/{run}/L1")
    page.wait(lambda: page.count(".link") > 100, "the links")
    shown = page.js("""return [...document.querySelectorAll('.link')].map((a) =>
        [a.textContent, a.title, a.href, getComputedStyle(a, '::after').content, a.rel, a.target])""")
    for (text, target), (seen, title, href, after, rel, where) in zip(LIES.items(), shown):
        assert (seen, title) == (text, target) and "evil.example" in href and after == '" ↗ evil.example"' and "noopener" in rel and where == "_blank"
    assert shown[3][3] == '" ↗ evil.example"' and shown[-1][0] == "https://good.example/" and shown[-1][3] == "none"
    page.js("document.querySelector('.link').focus()")
    page.wait(lambda: page.visible(".link-target") and page.text(".link-target") == "https://evil.example/", "the target under the focus")
    assert page.js(FOREIGN) == [True, 0, [], 0, None]


FOREIGN = """const own = [...document.querySelectorAll('script')].every((s) => s.src.startsWith(location.origin + '/static/'));
    const bad = [...document.querySelectorAll('img, svg, iframe, object, embed')].filter((n) => !(n.src ?? '').startsWith(location.origin) && !n.closest('[data-own], .brand') && n.getAttribute('src') === 'x');
    const links = [...document.querySelectorAll('a[href]')].filter((a) => !/^(https?:|$)/.test(a.protocol));
    const handlers = [...document.querySelectorAll('*')].filter((n) => [...n.attributes].some((a) => a.name.startsWith('on')));
    return [own, bad.length, links.map((a) => a.href), handlers.length, window.pwned ?? null];"""


def test_no_field_of_a_host_becomes_markup(page, dashboard):
    filled = [fill(dashboard, attack, number) for number, attack in enumerate(ATTACKS)]
    assert all(len(taken) >= 25 for _, _, taken in filled), filled
    for host, run, _ in filled:
        page.load(f"/#{host}/{run}")
        page.wait(lambda: page.count(".row") >= 5, "the log")
        assert page.js(FOREIGN) == [True, 0, [], 0, None], host
        assert MARKUP in page.js("return document.body.textContent")
    page.load("/")
    page.wait(lambda: page.count("tr.host") >= len(filled), "the list")
    assert page.js(FOREIGN) == [True, 0, [], 0, None]
