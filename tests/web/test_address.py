"""The address of the page has the whole view: open logs, line, filter and order. On the real server: back, reload, shared links."""

import pytest
from dashboard import PASSWORD, new_run
from person import ROW, address, lines, open_log, shown, wait_for


@pytest.fixture
def page(signed_in):
    return signed_in


def hosts(page):
    return page.js("return [...document.querySelectorAll('tr.host')].map((r) => r.dataset.host)")


def open_hosts(page):
    return page.js("return [...document.querySelectorAll('tbody.open')].map((r) => r.dataset.host)")


def test_what_is_open_is_in_the_address_and_back_undoes_it(page, dashboard):
    one, two = dashboard.has("addr-one", lines(50)), dashboard.has("addr-two", lines(50))
    page.load()
    assert address(page) == ""
    open_log(page, "addr-one")
    page.wait(lambda: address(page) == f"#addr-one/{one}")
    open_log(page, "addr-two")
    page.wait(lambda: address(page) == f"#addr-one/{one}+addr-two/{two}")
    page.driver.back()
    page.wait(lambda: open_hosts(page) == ["addr-one"] and address(page) == f"#addr-one/{one}")
    page.driver.back()
    page.wait(lambda: open_hosts(page) == [] and address(page) == "")
    page.driver.forward()
    page.wait(lambda: open_hosts(page) == ["addr-one"])
    page.click(".row[data-line='3'] .num")
    page.wait(lambda: address(page) == f"#addr-one/{one}/L4")
    page.driver.refresh()
    page.wait(lambda: page.count(".row.selected") == 1 and open_hosts(page) == ["addr-one"], "the same view after a reload")
    page.click("[data-do=close]")
    page.wait(lambda: address(page) == "")


def test_filter_kind_and_order_are_in_the_address(page, dashboard):
    for name in ("order-a", "order-b"):
        dashboard.has(name)
    dashboard.has("order-c", code=1)
    page.load()
    wait_for(page, "order-c")
    page.type("#filter", "order-")
    page.wait(lambda: address(page) == "#?q=order-")
    page.click("#chip-idle")
    page.wait(lambda: address(page) == "#?q=order-&only=idle" and hosts(page) == ["order-a", "order-b"])
    page.js("const s = document.querySelector('#sort'); s.value = 'seen'; s.dispatchEvent(new Event('change'))")
    page.wait(lambda: address(page) == "#?q=order-&only=idle&sort=seen" and hosts(page) == ["order-b", "order-a"])
    page.driver.refresh()
    page.wait(lambda: hosts(page) == ["order-b", "order-a"] and page.js("return document.querySelector('#filter').value") == "order-")
    page.driver.back()
    page.wait(lambda: hosts(page) == ["order-a", "order-b"])
    page.driver.back()
    page.wait(lambda: hosts(page) == ["order-c", "order-a", "order-b"])
    page.js("localStorage.removeItem('nixfleet.sort')")


def test_a_link_to_a_run_that_is_gone_says_so_and_opens_nothing(page, dashboard):
    dashboard.has("keeps", lines(50))
    gone = new_run()
    page.load(f"/#keeps/{gone}/L3-L5")
    page.wait(lambda: page.visible("#notice") and gone in page.text("#notice") and "not kept any more" in page.text("#notice"))
    assert page.count(".panel") == 0
    page.click("#notice [data-do=notice]")
    page.wait(lambda: open_hosts(page) == ["keeps"] and page.count(".row.selected") == 0, "its latest run, where it is asked for")
    for name in ("nosuchhost", "__proto__", "%E0%A4%A"):
        page.load(f"/#{name}")
        page.wait(lambda: page.visible("#notice") and f"no host {name.lower()}" in page.text("#notice"), name)


def test_every_name_that_a_host_may_have_is_an_address(page, dashboard):
    names = ["9-lives", "under_score", "1"]
    runs = [dashboard.has(name, lines(50)) for name in names]
    page.load("/#" + "+".join(f"{name}/{run}" for name, run in zip(names, runs)) + "?only=nonsense&sort=nonsense")
    page.wait(lambda: sorted(open_hosts(page)) == sorted(names))
    assert page.js("return document.querySelector('#sort').value") == "criticality" and page.count("tr.host") >= 3


def test_a_host_beyond_the_first_is_opened_by_its_link(page, dashboard):
    for i in range(300):
        dashboard.post(f"/api/hosts/deep{i:03d}/logs", {"lines": ["x"], "exit": {"code": 0}})
    run = dashboard.has("zz-last", lines(50))
    page.load(f"/#zz-last/{run}/L7?sort=name")
    page.wait(lambda: open_hosts(page) == ["zz-last"] and [6, "plain line 6"] in shown(page))
    top = page.js("const b = document.querySelector('.panel').getBoundingClientRect(); return b.top < innerHeight && b.bottom > 0")
    assert top, "in sight"
    assert page.count("tr.host") < 100
    page.js("window.scrollTo(0, 0)")
    page.wait(lambda: page.js("return scrollY") == 0)
    before = page.count("tr.host")
    page.click("#more-button")
    page.wait(lambda: page.count("tr.host") > before + 20, "more hosts")


def test_a_link_to_a_host_alone_is_no_trap_for_back(page, dashboard):
    run = dashboard.has("alone", lines(50))
    page.load("/#?q=alone")
    wait_for(page, "alone")
    page.js("location.hash = '#alone'")
    page.wait(lambda: address(page) == f"#alone/{run}" and open_hosts(page) == ["alone"])
    page.driver.back()
    page.wait(lambda: address(page) == "#?q=alone" and open_hosts(page) == [])


def test_a_click_elsewhere_changes_the_view_of_an_open_page(page, dashboard):
    run = dashboard.has("jumped", lines(500))
    page.load("/#?q=jumped")
    wait_for(page, "jumped")
    page.js("location.hash = arguments[0]", f"#jumped/{run}/L100")
    page.wait(lambda: [99, "plain line 99"] in shown(page))
    page.js("location.hash = arguments[0]", f"#jumped/{run}/L400-L402")
    page.wait(lambda: [399, "plain line 399"] in shown(page) and page.count(".row.selected") == 3)


def test_a_link_survives_the_sign_in(page, dashboard):
    run = dashboard.has("linked", lines(500))
    link = f"#linked/{run}/L250"
    page.driver.get("about:blank")
    page.driver.delete_all_cookies()
    page.cdp("Network.clearBrowserCookies")
    try:
        page.driver.get(dashboard.url + "/" + link)
        page.wait(lambda: page.driver.current_url == f"{dashboard.url}/login{link}")
        page.type("input[name=password]", "wrong")
        page.click("form button")
        page.wait(lambda: page.visible("#error") and page.driver.current_url.endswith(link), "refused, with the link kept")
    finally:
        page.type("input[name=password]", PASSWORD)
        page.click("form button")
    page.wait(lambda: page.text("#conn-text") == "Live")
    page.wait(lambda: [249, "plain line 249"] in shown(page) and page.count(".row.selected") == 1)
