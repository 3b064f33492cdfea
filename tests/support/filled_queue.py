"""A stack whose queue holds finds of the replica of Mushroom Observer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.browser import NO_SCRIPT, log_in
from tests.support.mushroom_observer import MushroomObserver
from tests.support.stack import Stack, stack_asking

FINDS = 40
MINUTES = 10
"""How long the queue may take to fill. A photo is fetched each second."""
START_AGAIN = """
from observations.models import Observation, QueueEntry
from django.contrib.sessions.models import Session
Observation.objects.filter(source="queue").update(
    decision="", decision_name="", note="", decided_at=None, user=None)
QueueEntry.skipped_by.through.objects.all().delete()
QueueEntry.objects.update(leased_to=None, leased_until=None)
Session.objects.all().delete()
"""


@contextmanager
def stack_with_a_queue(browser: Browser) -> Iterator[Stack]:
    """Yield a stack that Bob has had poll a replica, once `FINDS` finds are answered.

    Bob holds one of them until `start_again`. The replica draws its photos. It is asked at the
    pace that the real site wants.
    """
    with (
        MushroomObserver(observations=70, photos=Path("no real ones")) as site,
        stack_asking(site) as stack,
    ):
        _fill(browser, stack)
        yield stack


def start_again(stack: Stack) -> None:
    """Let nobody have decided, skipped or held anything, and nobody be logged in."""
    done = stack("shell", "--verbosity", "0", "-c", START_AGAIN)
    assert done.returncode == 0, done.stderr


def _fill(browser: Browser, stack: Stack) -> None:
    """Switch polling on in the queue's page, as Bob does, and wait for the finds."""
    context = browser.new_context(base_url=stack.url, locale="en-GB", **NO_SCRIPT)
    page = context.new_page()
    log_in(page, "bob")
    page.goto("/queue")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_text("Polling is switched on.")).to_be_visible()
    for _ in range(MINUTES * 12):
        waiting = page.inner_text("#queue-progress").partition(" · ")[2]
        if int(waiting.split()[0]) >= FINDS:
            break
        page.wait_for_timeout(5000)
        page.goto("/queue")
    else:
        raise AssertionError(f"the queue does not fill: {page.inner_text('main')}")
    context.close()
