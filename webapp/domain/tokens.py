"""Links and codes that are mailed: derived from a key and a nonce, so that no clear token is ever stored.

A row keeps the nonce and, to be found by, the token's hash. The mail is rendered minutes or weeks later from the
nonce and the key, which is how a reminder can carry the very link of the first mail
(``docs/decisions/0003-derived-tokens.md``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode, urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from webapp.domain.lifecycle import InvitationKind

TOKEN_LENGTH = 43
"""Characters of a token: 256 bits in URL-safe base 64, unpadded."""

# What a token or code is derived for, so that none opens another flow (T4).
RECEIPT = "receipt"
LOG_IN_CODE = "log-in-code"
NOT_ME = "not-me"


def invitation_purpose(kind: InvitationKind) -> str:
    """The purpose of a mailed link of ``kind``."""
    return f"invitation:{kind}"


def new_nonce() -> str:
    """128 random bits in hexadecimal, for one link or code."""
    return secrets.token_hex(16)


def derive_key(secret: str, purpose: str) -> bytes:
    """A 256-bit key for ``purpose`` alone, from one of the portal's secrets."""
    return hmac.digest(secret.encode(), b"techpass-portal:" + purpose.encode(), "sha256")


def derive_token(secret: str, purpose: str, nonce: str) -> str:
    """The 256-bit token of a link."""
    return urlsafe_b64encode(hmac.digest(derive_key(secret, purpose), nonce.encode(), "sha256")).decode().rstrip("=")


def not_me_token(secret: str, mail_id: int, written_at: datetime) -> str:
    """The token of "This wasn't me" in a mail (rule 6.4).

    The instant is part of it: a database may give the number of a row that was deleted to another one.
    """
    return derive_token(secret, NOT_ME, f"{mail_id}:{written_at.isoformat()}")


def token_hash(token: str) -> str:
    """What the database keeps of a token. A fast hash is right here: a token has 256 bits, nobody can try them all."""
    return hashlib.sha256(token.encode()).hexdigest()


def recover_token(secrets_: Sequence[str], purpose: str, nonce: str, expected_hash: str) -> str | None:
    """The token of ``expected_hash``, under the current secret or an older one; None if that secret is gone."""
    for secret in secrets_:
        token = derive_token(secret, purpose, nonce)
        if hmac.compare_digest(token_hash(token), expected_hash):
            return token
    return None


def derive_code(secret: str, purpose: str, nonce: str) -> str:
    """A code of six digits (rule 7.1)."""
    digest = hmac.digest(derive_key(secret, purpose), nonce.encode(), "sha256")
    return f"{int.from_bytes(digest[:16]) % 1_000_000:06d}"


def address_hash(secret: str, folded: str) -> str:
    """What is kept of an address that somebody typed, to count by: keyed, so that nobody can try out who it was."""
    return hmac.digest(derive_key(secret, "address"), folded.encode(), "sha256").hex()


_UNLIKE = str.maketrans("lo", "89")
"""Base 32 has a to z and 2 to 7. An l is hard to tell from i and 1, an o from 0: 8 and 9 stand in for them."""


def derive_recovery_codes(secret: str, nonce: str, count: int) -> list[str]:
    """``count`` recovery codes of 60 bits, as three groups of four letters and digits (rule 3.9)."""
    key = derive_key(secret, "recovery-code")
    codes = []
    for number in range(count):
        digest = hmac.digest(key, f"{nonce}:{number}".encode(), "sha256")
        letters = b32encode(digest)[:12].decode().lower().translate(_UNLIKE)
        codes.append("-".join(letters[start : start + 4] for start in (0, 4, 8)))
    return codes


def fold_recovery_code(typed: str) -> str:
    """A recovery code as typed, in the form that is hashed: without spaces or hyphens, 0 and 1 read as o and i."""
    kept = "".join(character for character in typed.lower() if character.isalnum())
    return kept.replace("0", "o").replace("1", "i")


def readings_of_recovery_code(typed: str) -> tuple[str, ...]:
    """What may have been meant: as typed, and with l read as i, since codes made before 8 and 9 came in hold an l."""
    folded = fold_recovery_code(typed)
    return (folded, folded.replace("l", "i")) if "l" in folded else (folded,)


def recovery_code_hash(secret: str, code: str) -> str:
    """Keyed, since 60 bits might be tried out by whoever holds a copy of the database."""
    return hmac.digest(derive_key(secret, "recovery-code-hash"), fold_recovery_code(code).encode(), "sha256").hex()
