"""The browser of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser import chromium, servers

expect.set_options(timeout=servers.PATIENCE * 1000)


@pytest.fixture(scope="session")
def chrome() -> str:
    """The path of a browser, which is installed where there is none; without one, tests fail."""
    try:
        return chromium.path()
    except chromium.NoBrowser as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")  # while Playwright runs, asyncio cannot, which other tests need
def browser(chrome) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium.launched(playwright, chrome)
        yield browser
        browser.close()
