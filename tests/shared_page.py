"""The page that browser tests share: loading the front end takes seconds, a workflow in it far less."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from browser_page import READY_MS


class SharedPage:
    """A page that is opened when one is first asked for; large enough to fit the graph at a readable size.

    `options` are those of playwright's `new_context`.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.browser = browser
        self.options = options
        self.context: BrowserContext | None = None

    def take(self) -> Page:
        """The page, or a new one without anything remembered if there is none or a test closed it."""
        if self.context is None or not self.context.pages:
            self.close()
            self.context = self.browser.new_context(viewport={"width": 2400, "height": 1500}, **self.options)
            self.context.set_default_timeout(READY_MS)  # playwright's own is too short for a busy machine
            self.context.new_page()
        return self.context.pages[0]

    def close(self) -> None:
        """Closes the page; the next one is new."""
        if self.context is not None:
            self.context.close()
            self.context = None
