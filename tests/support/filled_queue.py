"""A stack whose queue holds finds of the replica of Mushroom Observer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.browser import NO_SCRIPT, log_in
from tests.support.mushroom_observer import MushroomObserver
from tests.support.stack import Stack, stack_asking

MINUTES = 10
"""How long the queue may take to fill. A photo is fetched each second."""
LET_GO = """
from observations.models import QueueEntry
QueueEntry.objects.update(leased_to=None, leased_until=None)
"""


@contextmanager
def stack_with_a_queue(browser: Browser, *, observations: int, finds: int) -> Iterator[Stack]:
    """Yield a stack that Bob has had poll a replica of `observations`, once `finds` are answered.

    The replica draws its photos. It is asked at the pace that the real site wants.
    """
    with (
        MushroomObserver(observations=observations, photos=Path("no real ones")) as site,
        stack_asking(site) as stack,
    ):
        _fill(browser, stack, finds)
        yield stack


def _fill(browser: Browser, stack: Stack, finds: int) -> None:
    """Switch polling on in the queue's page, as Bob does, and wait for the finds."""
    context = browser.new_context(base_url=stack.url, locale="en-GB", **NO_SCRIPT)
    page = context.new_page()
    log_in(page, "bob")
    page.goto("/queue")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_text("Polling is switched on.")).to_be_visible()
    for _ in range(MINUTES * 30):
        waiting = page.inner_text("#queue-progress").partition(" · ")[2]
        if int(waiting.split()[0]) >= finds:
            break
        page.wait_for_timeout(2000)
        page.goto("/queue")
    else:
        raise AssertionError(f"the queue does not fill: {page.inner_text('main')}")
    # Bob's page holds a find. He lets go of it, and all are there for the verifiers.
    stack("shell", "-c", LET_GO)
    context.close()
