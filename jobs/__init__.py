"""What the workers do. Each job calls a service, in an application context, and has no rules of its own."""

from __future__ import annotations

from threading import Event

stop = Event()
"""Set once this process is asked to end: a job that can stop half-way does, since the next worker goes on with it."""
