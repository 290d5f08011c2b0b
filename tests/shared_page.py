"""The page that browser tests share: loading the front end takes seconds, a workflow in it far less."""

from __future__ import annotations

from playwright.sync_api import Browser, BrowserContext, Page


class SharedPage:
    """A page that is opened when one is first asked for; large enough to fit the graph at a readable size."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.context: BrowserContext | None = None

    def take(self) -> Page:
        """The page, a new one without anything remembered where there is none."""
        if self.context is None:
            self.context = self.browser.new_context(viewport={"width": 2400, "height": 1500})
            self.context.new_page()
        return self.context.pages[0]

    def close(self) -> None:
        """Closes the page; the next one is new."""
        if self.context is not None:
            self.context.close()
            self.context = None
