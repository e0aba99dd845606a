"""How often something may be asked for, counted on the queue server; in this process while that is down.

The library `limits` counts. Its Flask extension is left out, since that looks at every request, limited or not.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from flask import Flask, abort, current_app, request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    View = TypeVar("View", bound=Callable[..., Any])

log = structlog.get_logger()

_PAUSE_AFTER_FAILURE_SECONDS = 5.0


def peer_address() -> str:
    """The client's address, by the configured count of proxies."""
    return request.remote_addr or "unknown"


class Limiter:
    """Limits on views. Each is counted for the view and the caller's key apart."""

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
        """Answer 429 to a POST beyond the limits in ``text``, like "20 per hour; 100 per day"."""
        items = parse_many(text)

        def decorate(view: View) -> View:
            name = f"{view.__module__}.{view.__name__}:{key_func.__name__}"

            @wraps(view)
            def limited(*args: Any, **kwargs: Any) -> Any:
                if request.method == "POST" and not self._hit(items, name, key_func()):
                    abort(429)
                return view(*args, **kwargs)

            return limited  # type: ignore[return-value]

        return decorate

    def reset(self) -> None:
        """Forget what was counted in this process, and try the queue server again at once."""
        self._memory.storage.reset()
        self._paused_until = 0.0

    def _hit(self, items: list[RateLimitItem], name: str, key: str) -> bool:
        if time.monotonic() >= self._paused_until:
            try:
                shared: FixedWindowRateLimiter = current_app.extensions["limits"]
                return all(shared.hit(item, name, key) for item in items)
            except StorageError as error:
                self._paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS
                log.warning("queue server unreachable, limits are counted in this process", error=str(error)[:200])
        return all(self._memory.hit(item, name, key) for item in items)
