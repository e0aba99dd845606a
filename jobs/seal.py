"""The job that seals the record; cron asks for it twice a minute (decision 0010)."""

from __future__ import annotations

import structlog

from jobs import stop
from webapp import clock, queue
from webapp.services import audit_chain

log = structlog.get_logger()


def seal() -> None:
    """Seal what is new. The head goes to the log, so that it is kept where the database's owner does not write."""
    queue.awake("seal")
    done = audit_chain.seal(clock.now(), goes_on=lambda: not stop.is_set())
    if done.count:
        head = audit_chain.head()
        log.info("record sealed", position=head.position, hash=head.hash)
    if done.more and not stop.is_set():
        queue.wake("seal")
