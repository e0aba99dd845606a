"""Where the MDM system reports how far devices have come: signed, each report once (rule 4.7, ``docs/mdm.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from webapp import clock
from webapp.access import Audience, allow
from webapp.domain.mdm import LONGEST_BODY
from webapp.extensions import csrf
from webapp.services import mdm as service
from webapp.services.errors import NotFound, ReportInvalid, ReportRefused, ReportRepeated
from webapp.services.mdm import SignedRequest

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("mdm", __name__, url_prefix="/api/mdm")


@blueprint.post("/devices/<intune_device_id>")
@allow(Audience.MACHINE)
@csrf.exempt  # No browser asks: the signature says who does.
def report(intune_device_id: str) -> ResponseReturnValue:
    secret = current_app.config["SETTINGS"].mdm_webhook_secret
    if not secret:
        return _problem(404, "no MDM system is set up")
    if request.mimetype != "application/json":
        return _problem(415, "Content-Type must be application/json")
    try:
        body = request.get_data(cache=False)  # No more of it than any form may have.
    except HTTPException as error:
        return _problem(error.code or 400, "the body is not complete, or far too long")
    if len(body) > LONGEST_BODY:
        return _problem(413, f"a report has {LONGEST_BODY} bytes or fewer")
    sent = SignedRequest(
        intune_device_id=intune_device_id,
        timestamp=request.headers.get("X-Timestamp", ""),
        signature=request.headers.get("X-Signature", ""),
        body=body,
    )
    try:
        result = service.receive(sent, secret, clock.now(), current_app.config["POLICY"])
    except ReportRefused as error:
        return _problem(401, error.problem)
    except ReportInvalid as error:
        return _problem(422, *error.problems)
    except ReportRepeated:
        return _problem(409, "this very report was taken already")
    except NotFound:
        return _problem(404, "no device with this Intune Device ID is registered")
    return jsonify(result=result)


def _problem(status: int, *problems: str) -> ResponseReturnValue:
    return jsonify(problems=list(problems)), status
