"""For the operator's machines: alive, ready, and the numbers to watch."""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, current_app, jsonify, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from webapp import clock
from webapp.access import Audience, allow
from webapp.limiter import peer_address
from webapp.services import health as service

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@allow(Audience.MACHINE)
def healthz() -> ResponseReturnValue:
    """This process answers; it asks nothing of the others."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@allow(Audience.MACHINE)
def readyz() -> ResponseReturnValue:
    """Each part by itself; 503 if the database is down, since only then no page works."""
    parts = service.parts(clock.now())
    ready = all(part.ok for part in parts if part.name == "database")
    told = {part.name: {"ok": part.ok, "detail": part.detail} for part in parts}
    return jsonify(ready=ready, parts=told), 200 if ready else 503


@blueprint.get("/metrics")
@allow(Audience.MACHINE)
def metrics() -> ResponseReturnValue:
    """Prometheus, to loopback or whoever has METRICS_TOKEN; 404 to all others."""
    if not _may_watch():
        abort(404)
    registry = CollectorRegistry()
    for name, value in service.numbers(clock.now()).items():
        Gauge(name, name.removeprefix("portal_").replace("_", " "), registry=registry).set(value)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_watch() -> bool:
    token = current_app.config["SETTINGS"].metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token:
        return hmac.compare_digest(given.encode(), token.encode())
    try:
        return ipaddress.ip_address(peer_address()).is_loopback
    except ValueError:
        return False
