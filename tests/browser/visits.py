"""A page in a window of its own, and what went wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

from tests.browser import servers


@contextmanager
def visit(
    browser: Browser,
    url: str,
    allowed: str = "",
    *,
    console: bool = True,
    spared: tuple[str, ...] = (),
    **options: object,
) -> Iterator[Page]:
    """Open a page; in the end it had no error, and asked for nothing from elsewhere.

    Args:
        browser: where it is opened.
        url: of the page.
        allowed: the folder or server from which it may load more; without it, from none.
        console: whether what it says on the console is an error too.
        spared: how errors and addresses begin that are none of ours.
        options: of the window.
    """
    settings = {"viewport": {"width": 1280, "height": 900}, **options}
    context = browser.new_context(**settings)  # type: ignore[arg-type]
    outside = servers.only_from(allowed or url, context)
    troubles: list[str] = []
    page = context.new_page()
    page.set_default_timeout(servers.PATIENCE * 1000)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    if console:
        page.on("console", lambda message: troubles.append(message.text))
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert [said for said in (*troubles, *outside) if not said.startswith(spared)] == []


def after(page: Page, milliseconds: int) -> None:
    """Wait by the page's own clock, until all is done that it had put off for less."""
    page.evaluate("(time) => new Promise((go) => setTimeout(go, time))", milliseconds)


def filled(page: Page) -> None:
    """Wait until a widget fills the screen."""
    page.wait_for_function("""() => {
      const box = document.querySelector(".avx.is-full")?.getBoundingClientRect();
      return box && box.width === innerWidth && box.height === innerHeight;
    }""")
