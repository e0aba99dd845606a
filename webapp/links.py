"""Addresses in mails and on consoles: always of the configured origin, never of a request's Host (T5)."""

from __future__ import annotations

from urllib.parse import quote

from flask import current_app

from webapp.domain.lifecycle import InvitationKind

_INVITATION_PATHS = {
    InvitationKind.TECHPASS: "/invitations/",
    InvitationKind.SEED: "/seed/",
    InvitationKind.AUTHENTICATOR: "/set-up-authenticator/",
    InvitationKind.REGISTRATION: "/registration/",
}


def public_link(path: str) -> str:
    """The full address of ``path``, which begins with a slash."""
    return f"{current_app.config['PUBLIC_BASE_URL']}{path}"


def invitation_path(kind: InvitationKind, token: str) -> str:
    return _INVITATION_PATHS[kind] + quote(token)


def invitation_link(kind: InvitationKind, token: str) -> str:
    return public_link(invitation_path(kind, token))


def not_me_link(mail_id: int, token: str) -> str:
    return public_link(f"/not-me/{mail_id}/{quote(token)}")


def receipt_link(token: str) -> str:
    return public_link("/requests/" + quote(token))
