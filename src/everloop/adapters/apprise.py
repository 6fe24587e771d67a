"""A page -> the people and channels that EVERLOOP_ALERT_URLS names, through apprise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from everloop.core.errors import BadInput, Busy, Missing

URLS = "EVERLOOP_ALERT_URLS"


class Page(Protocol):
    """What is read of a page (`monitor.sinks.page`)."""

    @property
    def loop(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def decision(self) -> str: ...


def deliver(page: Page, *, home: Path) -> None:
    """Send one page to every URL (separated by spaces or commas). Busy when one of them did not take it. Secrets in URLs are never shown."""
    del home
    urls = os.environ.get(URLS, "").replace(",", " ").split()
    if not urls:
        raise BadInput(f"The sink 'apprise' has nowhere to send to. Set {URLS}, for example to 'slack://…' or 'mailto://…'.")
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise Missing("Pages through apprise need the library 'apprise'. Install it: pip install 'everloop[apprise]'") from error
    sender = apprise.Apprise()
    for at, url in enumerate(urls, start=1):
        if not sender.add(url):
            raise BadInput(f"URL {at} of {len(urls)} in {URLS} is not one that apprise understands ({url.partition('://')[0]}://…).")
    if not sender.notify(title=f"{page.loop}: {page.title}", body=f"{page.body}\n\neverloop why {page.decision}"):
        raise Busy(f"A service in {URLS} did not take the page {page.title!r}. It will be tried again.")
