"""One headless Chromium for a module of tests, with short methods for what a person does with a page."""

import shutil
import tempfile
import time

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1 --lang=en-US "
    "--disable-background-timer-throttling --disable-renderer-backgrounding"
).split()
WATCH_VIOLATIONS = (
    "window.violations = [];"
    "document.addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));"
    "window.addEventListener('error', (e) => violations.push(String(e.message)));"
    "window.addEventListener('unhandledrejection', (e) => violations.push(String(e.reason)));"
)


class Browser:
    def __init__(self, width=1280, height=900, any_certificate=False):
        self.profile = tempfile.mkdtemp(prefix="nixfleet-chromium-")
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for flag in FLAGS:
            options.add_argument(flag)
        options.add_argument(f"--user-data-dir={self.profile}")
        options.accept_insecure_certs = any_certificate
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_script_timeout(20)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH_VIOLATIONS})
        self.size(width, height)

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def cdp(self, command, parameters=None):
        return self.driver.execute_cdp_cmd(command, parameters or {})

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def scheme(self, name):
        self.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.js("const n = document.querySelector(arguments[0]); return n && n.textContent", selector)

    def count(self, selector):
        return self.js("return document.querySelectorAll(arguments[0]).length", selector)

    def attr(self, selector, name):
        return self.js("return document.querySelector(arguments[0])?.getAttribute(arguments[1])", selector, name)

    def visible(self, selector):
        return self.js("const n = document.querySelector(arguments[0]); return !!n && n.getClientRects().length > 0", selector)

    def click(self, selector):
        self.wait(lambda: self.visible(selector) and self.clicked(selector), f"{selector} to click")

    def clicked(self, selector):
        try:
            self.driver.find_element("css selector", selector).click()
        except ElementClickInterceptedException:  # another element still moves over this one
            return False
        return True

    def type(self, selector, text):
        self.wait(lambda: self.visible(selector) and self.typed(selector, text), f"{selector} to type into")

    def typed(self, selector, text):
        try:
            self.driver.find_element("css selector", selector).send_keys(text)
        except ElementNotInteractableException:  # nothing was typed: the field is hidden again, or not ready yet
            return False
        return True

    def keys(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def mouse(self, x, y):
        self.cdp("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})

    def wait(self, condition, what="the condition", timeout=30):
        end = time.monotonic() + timeout
        value = None
        while time.monotonic() < end:
            try:
                value = condition()
            except (IndexError, StaleElementReferenceException) as too_early:  # the element is not there yet, or was just replaced
                value = too_early
            else:
                if value:
                    return value
            time.sleep(0.03)
        raise AssertionError(f"waited {timeout} s for {what}; last seen {value!r}; problems {self.problems()}")

    def screenshot(self, path):
        self.driver.save_screenshot(str(path))

    def problems(self):
        """The violations of the content security policy and the script errors since the page was loaded."""
        return self.js("return window.violations || []")
