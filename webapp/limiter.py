"""How often something may be asked for, counted on the queue server; in this process while that is down.

The library `limits` counts. Its Flask extension is left out, since that looks at every request, limited or not.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from flask import Flask, abort, current_app, request
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from webapp import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    View = TypeVar("View", bound=Callable[..., Any])

log = structlog.get_logger()

_PAUSE_AFTER_FAILURE_SECONDS = 5.0


def peer_address() -> str:
    """The client's address, by the configured count of proxies."""
    return request.remote_addr or "unknown"


class Limiter:
    """Limits within fixed windows. Each is counted for what it is about and the caller's key apart.

    An answer 429 says in ``Retry-After`` in how many seconds the window ends.
    """

    def __init__(self) -> None:
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._paused_until = 0.0

    def init_app(self, app: Flask) -> None:
        # Redis knows "unix://…", this library "redis+unix://…".
        address = app.config["REDIS_URL"].replace("unix://", "redis+unix://", 1)
        options: dict[str, Any] = {"socket_connect_timeout": 0.5, "socket_timeout": 1.0}
        storage = storage_from_string(address, wrap_exceptions=True, **options)
        app.extensions["limits"] = FixedWindowRateLimiter(storage)

    def limit(self, text: str, key_func: Callable[[], str] = peer_address) -> Callable[[View], View]:
        """Answer 429 to a POST beyond the limit in ``text``, like "20 per hour". Each counts, whatever it holds."""
        item = parse(text)

        def decorate(view: View) -> View:
            name = f"{view.__module__}.{view.__name__}:{key_func.__name__}"

            @wraps(view)
            def limited(*args: Any, **kwargs: Any) -> Any:
                if request.method == "POST":
                    self._refuse_beyond(item, name, key_func())
                return view(*args, **kwargs)

            return limited  # type: ignore[return-value]

        return decorate

    @contextmanager
    def counted(self, text: str, name: str, key: str) -> Iterator[None]:
        """Answer 429 beyond the limit in ``text`` instead of doing what stands within; what is refused does not count.

        It is counted first and given back after, so that many at once are no more than the limit either.
        """
        item = parse(text)
        self._refuse_beyond(item, name, key)
        try:
            yield
        except Exception:
            self._wait(item, name, key, cost=-1)
            raise

    def reset(self) -> None:
        """Forget what was counted in this process, and try the queue server again at once."""
        self._memory.storage.reset()
        self._paused_until = 0.0

    def _refuse_beyond(self, item: RateLimitItem, name: str, key: str) -> None:
        seconds = self._wait(item, name, key)
        if seconds:
            abort(429, retry_after=seconds)

    def _wait(self, item: RateLimitItem, name: str, key: str, cost: int = 1) -> int:
        """Count; in how many seconds the window ends if that is beyond the limit, else 0."""
        if time.monotonic() >= self._paused_until:
            try:
                return _count(current_app.extensions["limits"], item, name, key, cost)
            except StorageError as error:
                self._paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
                log.warning("queue server unreachable, limits are counted in this process", error=str(error)[:200])
        return _count(self._memory, item, name, key, cost)


def _count(rates: FixedWindowRateLimiter, item: RateLimitItem, name: str, key: str, cost: int) -> int:
    if rates.hit(item, name, key, cost=cost):
        return 0
    return max(1, math.ceil(rates.get_window_stats(item, name, key).reset_time - clock.machines_seconds()))
