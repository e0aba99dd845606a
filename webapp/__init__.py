"""TechPass Portal: sign up for TechPass and SEED, be approved, be onboarded, help yourself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from webapp.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The portal, from ``settings`` or the environment's. Raises `SettingsError` rather than start unsafe."""
    # Imported here: the process manager and the mail catcher of `./run` live in this package too, and start in a
    # moment because importing it does not load the web's libraries (1.5 seconds).
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix
    from whitenoise import WhiteNoise

    from webapp import (
        access,
        cli,
        clock,
        errors,
        formatting,
        htmx,
        logs,
        queue,
        security,
        views,
    )
    from webapp.extensions import csrf, db, limiter, mail, migrate
    from webapp.settings import Settings

    settings = settings or Settings.from_environment()
    app = Flask(__name__, template_folder="../templates", static_folder="../static")
    app.config.from_mapping(security.flask_config(settings))
    clock.use_offset_file(settings.clock_file or None)
    logs.init_app(app)

    db.init_app(app)
    migrate.init_app(app, db, directory=app.root_path + "/migrations")
    security.init_app(app)
    access.init_app(app)  # Before the tokens: whoever is no longer signed in is told that, not that a form is old.
    csrf.init_app(app)
    mail.init_app(app)
    limiter.init_app(app)
    htmx.init_app(app)
    queue.init_app(app, db.session)

    errors.init_app(app)
    formatting.init_app(app)

    views.init_app(app)
    cli.init_app(app)

    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]
    static = WhiteNoise(
        app.wsgi_app,
        root=app.static_folder,
        prefix="static/",
        allow_all_origins=False,
        max_age=31536000,
        autorefresh=settings.is_development,
    )
    app.wsgi_app = security.SecurityHeaders(static, settings)  # type: ignore[method-assign]
    return app
