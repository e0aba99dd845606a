"""The portal's secrets as the use-cases need them: derived tokens, and encryption of what must be read again."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from flask import current_app

from webapp.domain.addresses import parse
from webapp.domain.tokens import address_hash, derive_key


def secret_key() -> str:
    """The current secret: what new tokens are derived from."""
    return secret_keys()[0]


def secret_keys() -> tuple[str, ...]:
    """The current secret, then those it replaced and which still open what they made."""
    keys: tuple[str, ...] = current_app.config["SECRET_KEYS"]
    return keys


def address_key(text: str) -> str:
    """What a mail address is counted by where it must not stand in clear. Raises `AddressError`."""
    return address_hash(secret_key(), parse(text).folded)


def encrypt(text: str) -> str:
    return _box(secret_keys()).encrypt(text.encode()).decode()


def decrypt(sealed: str) -> str:
    """Raises `cryptography.fernet.InvalidToken` if the secret it was sealed with is no longer configured."""
    return _box(secret_keys()).decrypt(sealed.encode()).decode()


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(urlsafe_b64encode(derive_key(key, "encryption"))) for key in keys])
