"""How gunicorn serves the portal, everywhere: ``gunicorn -c python:webapp.gunicorn_conf wsgi:app``.

The app itself is not preloaded: its pools of database and queue connections must not cross a fork. But this
file imports its modules, so that workers share the libraries' code instead of loading it once each.
"""

from __future__ import annotations

import os

from webapp import access, cli, errors, formatting, htmx, logs, queue, security, views  # noqa: F401

if os.environ.get("APP_ENV", "production") == "production":
    # Shared by the workers too. In development a quick start counts more.
    import holidays  # noqa: F401
    import icalendar  # noqa: F401

bind = os.environ.get("BIND") or f"127.0.0.1:{os.environ.get('PORT') or 8000}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS") or 2)
threads = 4

# Seconds that requests under way get when the server stops or a worker is replaced.
graceful_timeout = 20

# Heartbeat files on a disk can stall a worker for as long as the disk does.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Addresses carry tokens (promise 8): requests are logged by the app, by route.
accesslog = None

# No second way in, and nothing written outside the portal's own directories.
control_socket_disable = True
