"""What a run builds and changes, on the real server: the list of derivations, one derivation shown alone or folded, changed packages."""

import time

import pytest
from person import last_shown, open_log, shown


@pytest.fixture
def page(signed_in):
    return signed_in


def builds(page):
    return page.js("return [...document.querySelectorAll('.build-list li')].map((r) => [r.querySelector('bdi').textContent, r.dataset.state, r.querySelector('.num').textContent])")


def test_derivations_are_listed_the_longest_first(page, dashboard):
    now = int(time.time() * 1000)
    run = dashboard.begin("builder", ["x"])
    told = [
        {"n": 0, "name": "a-1.0", "state": "built", "started": now - 90_000, "ended": now - 80_000},
        {"n": 1, "name": "b-2", "state": "built", "started": now - 90_000, "ended": now - 30_000},
        {"n": 2, "name": "c-3", "state": "building", "started": now - 3_600_000, "machine": "ssh://big", "step": "checkPhase"},
        {"n": 3, "name": "d-4", "state": "failed", "started": now - 5_000, "ended": now - 1_000},
        {"n": 4, "name": "e-5", "state": "waiting"},
    ]
    dashboard.write("builder", run, 1, ["y"], derivations=told)
    page.load()
    open_log(page, "builder")
    page.wait(lambda: page.text(".builds summary") == "5 derivations: 1 failed, 1 building, 2 built, 1 waiting")
    page.click(".builds summary")
    page.wait(lambda: [row[0] for row in builds(page)] == ["d-4", "c-3", "b-2", "a-1.0", "e-5"])
    assert [row[2] for row in builds(page)][2:] == ["1 min 00 s", "10 s", "waiting"]
    assert builds(page)[1][2].startswith("1 h 00 min") and "checkPhase on ssh://big" in page.text(".build-list")
    dashboard.write("builder", run, 2, ["z"], derivations=[dict(told[2], state="built", ended=now)])
    dashboard.end("builder", run, 3)
    page.wait(lambda: ["c-3", "built", "1 h 00 min"] in builds(page), "the state at the end")


def test_a_derivation_is_shown_alone_and_folded(page, dashboard):
    run = dashboard.begin("folder", ["start"])
    text = []
    for i in range(40):
        text += [f"openssl> compiling {i}", f"openssl> linking {i}", f"zlib> step {i}"]
    dashboard.write("folder", run, 1, text, derivations=[{"n": 0, "name": "openssl-3.0.14", "state": "building", "line": 1, "lines": 80},
                                                         {"n": 1, "name": "zlib-1.3", "state": "building", "line": 3, "lines": 40}])
    page.load()
    open_log(page, "folder")
    page.wait(lambda: last_shown(page) == "zlib> step 39" and page.visible(".builds"))
    page.click(".builds summary")
    page.click(".build-list li[data-n='1'] [data-do=alone]")
    page.wait(lambda: len(shown(page)) > 5 and all(text.startswith("zlib> ") for _, text in shown(page)))
    page.click("[data-do=only]")
    page.wait(lambda: any(text.startswith("openssl> ") for _, text in shown(page)))
    page.click(".build-list li[data-n='0'] [data-do=fold-build]")
    page.wait(lambda: any(text == "▸ openssl: 2 lines" for _, text in shown(page)) and not any(text.startswith("openssl> ") for _, text in shown(page)))
    page.wait(lambda: page.attr(".build-list li[data-n='0'] [data-do=fold-build]", "aria-pressed") == "true")
    dashboard.write("folder", run, 121, ["zlib> more"], derivations=[{"n": 1, "name": "zlib-1.3", "state": "built", "line": 3, "lines": 41}])
    page.wait(lambda: page.attr(".build-list li[data-n='1']", "data-state") == "built", "the list is drawn again")
    assert page.attr(".build-list li[data-n='0'] [data-do=fold-build]", "aria-pressed") == "true"
    assert page.js("return document.activeElement.closest('li')?.dataset.n + document.activeElement.dataset.do") == "0fold-build", "the keys stay there"
    page.click(".build-list li[data-n='0'] [data-do=fold-build]")
    page.wait(lambda: any(text.startswith("openssl> ") for _, text in shown(page)))


def test_the_own_log_of_a_derivation_is_opened_below_the_list(page, dashboard):
    run = dashboard.begin("owner", ["only a bar"])
    rows = [{"n": 0, "name": "openssl-3.0.14", "state": "building"}, {"n": 1, "name": "zlib-1.3", "state": "built"}]
    text = "\n".join(f"line {at} <b>" for at in range(600))
    dashboard.write("owner", run, 1, ["x"], derivations=rows, build_logs=[{"n": 0, "from": 0, "text": text}])
    page.load()
    open_log(page, "owner")
    page.wait(lambda: page.visible(".builds"))
    page.click(".builds summary")
    assert not page.visible(".build-list li[data-n='1'] [data-do=own-log]")
    page.click(".build-list li[data-n='0'] [data-do=own-log]")
    page.wait(lambda: page.text(".build-log pre").endswith("line 599 <b>") and page.text(".build-log pre").startswith("line 100 <b>"))
    assert page.text(".build-log strong") == "openssl-3.0.14: the last 500 of 600 lines"
    assert page.attr(".build-log a", "href").endswith(f"/runs/{run}/derivations/0/log")
    dashboard.write("owner", run, 2, ["y"], build_logs=[{"n": 0, "from": 600, "text": "and one more"}])
    page.wait(lambda: page.text(".build-log pre").endswith("and one more"), "the new line")
    dashboard.write("owner", run, 3, ["z"], build_logs=[{"n": 0, "from": 700, "text": "behind the gap"}])
    page.wait(lambda: page.text(".build-log pre").endswith("and one more\n[99 lines omitted]\nbehind the gap"), "the line behind the gap")
    dashboard.end("owner", run, 4)
    dashboard.post("/api/hosts/owner/logs", {"run": run, "from": 5, "lines": [], "build_logs": [{"n": 0, "from": 701, "text": "the cause"}]})
    page.wait(lambda: page.text(".build-log pre").endswith("behind the gap\nthe cause"), "a line that came after the end of the run")
    page.click("[data-do=close-own]")
    page.wait(lambda: not page.visible(".build-log"))


def test_what_a_switch_changed_is_folded_above_the_log(page, dashboard):
    run = dashboard.begin("changed", ["x"])
    change = {"profile": "system", "old": "/nix/store/a-old", "new": "/nix/store/b-new", "old_generation": 41, "new_generation": 42, "size": 12_582_912, "rebuilt": 3,
              "packages": [{"name": "openssl", "old": "3.0.13", "new": "3.0.14"}, {"name": "htop", "new": "3.3"}, {"name": "nano", "old": "8.0"}]}
    dashboard.end("changed", run, 1, changes=[change])
    page.load()
    open_log(page, "changed")
    page.wait(lambda: page.text(".change summary") == "system: generation 41 → 42 · 1 changed · 1 added · 1 removed · 3 rebuilt · +12.0 MB")
    page.click(".change summary")
    rows = page.js("return [...document.querySelectorAll('.package-list li')].map((r) => [r.dataset.kind, ...[...r.children].map((c) => c.textContent)])")
    assert rows == [["changed", "~", "openssl", "3.0.13 → 3.0.14"], ["added", "+", "htop", "3.3"], ["removed", "−", "nano", "8.0"]]


def test_two_runs_are_compared_by_what_they_built_and_changed(page, dashboard):
    now = int(time.time() * 1000)
    runs = []
    for generation, took in ((41, 10_000), (42, 70_000)):
        run = dashboard.begin("compared", ["x"])
        built = [{"n": 0, "name": f"openssl-3.0.{generation}", "state": "built", "started": now - 100_000, "ended": now - 100_000 + took},
                 {"n": 1, "name": "zlib-1", "state": "built", "started": now - 100_000, "ended": now - 95_000}]
        change = {"profile": "system", "old": "/nix/store/a", "new": "/nix/store/b", "old_generation": generation, "new_generation": generation + 1}
        dashboard.end("compared", run, 1, derivations=built, changes=[change])
        runs.append(run)
        time.sleep(0.01)  # start times have a resolution of one millisecond
    page.load()
    open_log(page, "compared")
    page.click("[data-do=runs]")
    page.click(f"tr[data-run='{runs[0]}'] [data-do=compare]")
    table = lambda: {row[0]: row[1:] for row in page.js("return [...document.querySelectorAll('.comparison tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")}
    page.wait(lambda: table().get("openssl") == ["10 s", "1 min 10 s"])
    assert table()["zlib"] == ["5.0 s", "5.0 s"]
    assert table()["Changes"] == ["system: generation 41 → 42", "system: generation 42 → 43"]
