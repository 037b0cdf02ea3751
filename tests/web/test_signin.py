"""The sign-in page of the real dashboard: the page asks for a code only if a second factor is configured."""

import base64
import hashlib
import hmac
import struct
import time

import pytest
from dashboard import PASSWORD, Dashboard

SECRET = "JBSWY3DPEHPK3PXP"


def code():
    digest = hmac.new(base64.b32decode(SECRET), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1000000:06d}"


@pytest.fixture(scope="module")
def with_code():
    server = Dashboard(NIXFLEET_TOTP_SECRET=SECRET)
    yield server
    server.close()


def open_form(chromium, url):
    chromium.driver.get("about:blank")
    chromium.cdp("Network.clearBrowserCookies")
    chromium.driver.get(url + "/")
    chromium.wait(lambda: chromium.driver.current_url == url + "/login" and chromium.count("input[name=password]") == 1)


def test_no_code_is_asked_for_where_none_is_set_up(chromium, dashboard):
    open_form(chromium, dashboard.url)
    assert chromium.driver.execute_async_script("fetch('/api/sign-in').then((a) => a.json()).then(arguments[0])") == {"code": False}
    assert not chromium.visible("input[name=totp]")
    chromium.type("input[name=password]", PASSWORD)
    chromium.click("form button")
    chromium.wait(lambda: chromium.text("#conn-text") == "Live")


def test_the_code_is_asked_for_where_one_is_set_up(chromium, with_code):
    open_form(chromium, with_code.url)
    chromium.wait(lambda: chromium.visible("input[name=totp]"), "the field")
    chromium.type("input[name=password]", PASSWORD)
    chromium.type("input[name=totp]", "000000" if code() != "000000" else "111111")
    chromium.click("form button")
    chromium.wait(lambda: chromium.visible("#error") and "TOTP" in chromium.text("#error"))
    chromium.wait(lambda: chromium.visible("input[name=totp]"), "the field")
    chromium.type("input[name=password]", PASSWORD)
    chromium.type("input[name=totp]", code())
    chromium.click("form button")
    chromium.wait(lambda: chromium.text("#conn-text") == "Live")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_form_fits(chromium, with_code, width):
    chromium.size(width, 800)
    open_form(chromium, with_code.url)
    chromium.wait(lambda: chromium.visible("input[name=totp]"))
    assert chromium.js("return document.documentElement.scrollWidth") <= width
    assert chromium.js("return document.activeElement.name") == "password"


def try_to_sign_in(chromium, password):
    chromium.wait(lambda: chromium.count("input[name=password]") == 1, "the form")
    chromium.js("document.body.dataset.old = 'yes'")
    chromium.type("input[name=password]", password)
    chromium.click("form button")
    chromium.wait(lambda: chromium.js("return document.readyState === 'complete' && document.body.dataset.old !== 'yes'"), "the answer")


def test_wrong_passwords_are_told_and_too_many_of_them_as_well(chromium):
    server = Dashboard()
    try:
        open_form(chromium, server.url)
        for _ in range(5):
            try_to_sign_in(chromium, "wrong")
            chromium.wait(lambda: chromium.visible("#error") and "Invalid password" in chromium.text("#error"))
        try_to_sign_in(chromium, "wrong")
        chromium.wait(lambda: chromium.visible("#error") and "Too many tries" in chromium.text("#error"))
        chromium.driver.get("about:blank")
    finally:
        server.close()


def test_a_page_whose_session_is_signed_out_elsewhere_goes_to_the_form(chromium):
    server = Dashboard()
    try:
        open_form(chromium, server.url)
        try_to_sign_in(chromium, PASSWORD)
        chromium.wait(lambda: chromium.text("#conn-text") == "Live")
        chromium.driver.execute_async_script("""const done = arguments[0]; fetch('/api/session').then((a) => a.json())
            .then(({csrf}) => fetch('/logout', {method: 'POST', headers: {'X-CSRF-Token': csrf}, redirect: 'manual'})).then(() => done());""")
        chromium.wait(lambda: chromium.driver.current_url.startswith(server.url + "/login"), "the form")
        chromium.driver.get("about:blank")
    finally:
        server.close()
