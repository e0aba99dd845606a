"""The settings of a development portal: what the environment says, and for the rest the embedded parts."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

# The kernel's limit is 107 bytes; the queue server wants some for itself.
_LONGEST_SOCKET_PATH = 100


class EnvironmentProblem(Exception):
    """The portal cannot be started here; the message says why, and what to do."""


def open_port(port: int) -> socket.socket:
    """A listening socket on loopback; ``port`` 0 takes a free one. Raises `EnvironmentProblem`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise EnvironmentProblem(
            f"Port {port} is in use, perhaps by another portal ({error.strerror}).\n"
            f"Start on another port: PORT={port + 1} ./run"
        ) from error
    listener.listen(512)
    return listener


def free_port() -> int:
    """The number of a loopback port that nobody used a moment ago."""
    with open_port(0) as listener:
        return int(listener.getsockname()[1])


def socket_path(data_dir: Path) -> Path:
    """Where the queue server listens: in the data directory, or if that is too long, in a private one."""
    path = data_dir / "queue" / "queue.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"techpass-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # In a folder that everyone can write to, somebody else may have been first.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EnvironmentProblem(f"{folder} is not private. Remove it, or choose a shorter DATA_DIR.")
    return folder / "queue.sock"


def kept_secret(data_dir: Path, name: str) -> str:
    """A secret of the portal's own, made at the first start."""
    path = data_dir / name
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def development_settings(data_dir: Path, port: int, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the portal's processes need beside ``environ``; what that sets already is left alone."""
    chosen = {"APP_ENV": "development"}
    if not environ.get("SECRET_KEY"):
        chosen["SECRET_KEY"] = kept_secret(data_dir, "secret-key")
    if not environ.get("MDM_WEBHOOK_SECRET"):
        chosen["MDM_WEBHOOK_SECRET"] = kept_secret(data_dir, "mdm-webhook-secret")
    if not environ.get("PUBLIC_BASE_URL"):
        chosen["PUBLIC_BASE_URL"] = f"http://localhost:{port}"
    if not environ.get("DATABASE_URL"):
        chosen["DATABASE_URL"] = f"sqlite:///{data_dir / 'techpass.db'}"
    if not environ.get("REDIS_URL"):
        chosen["REDIS_URL"] = "unix://" + quote(str(socket_path(data_dir)))
    if not environ.get("MAIL_SERVER"):
        # The catcher takes no credentials and speaks no TLS.
        chosen |= {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(free_port())}
        chosen |= {"MAIL_USERNAME": "", "MAIL_PASSWORD": "", "MAIL_USE_TLS": "false"}
        chosen["DEV_MAILBOX"] = str(data_dir / "mailbox")
    return chosen


def save_settings(data_dir: Path, chosen: Mapping[str, str]) -> None:
    """Keep the settings where ``./run flask`` finds them, as a file for the shell."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(chosen.items())]
    write_private(data_dir / "environment", "".join(lines))
