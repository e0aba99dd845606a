"""`./run` for development: everything starts, everything stops, and a crash is survived."""

from __future__ import annotations

import signal
import socket
import stat
import urllib.request
from pathlib import Path

import pytest
import redis

from tests.servers import Stack, stack, valkey, wait_until
from webapp.dev import processes
from webapp.dev.environment import free_port


def running(portal: Stack) -> list[int]:
    return processes.marked(f"{portal.data_dir}:")


def get(portal: Stack) -> str:
    with urllib.request.urlopen(f"{portal.url}/healthz", timeout=10) as answer:
        return str(answer.read().decode())


def is_another(portal: Stack, part: str, dead: int) -> bool:
    return (portal.data_dir / f"{part}.pid").exists() and portal.pid(part) != dead


def refused(**options: object) -> str:
    """What a portal prints that does not start."""
    with pytest.raises(RuntimeError) as caught, stack(**options):  # type: ignore[arg-type]
        pass
    return str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_leaves_no_process_behind(stand_in: Path, number: signal.Signals) -> None:
    # Should the tests run under nohup, the portal would rightly outlive its terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with stack(cwd=stand_in) as portal:
        assert get(portal)
        # Web and its worker, jobs and the child of theirs, cron, queue, mail.
        wait_until(lambda: len(running(portal)) == 7, "seven processes")
        assert portal.stop(number) == 0
        assert running(portal) == []
        assert not portal.ready_file.exists()
        assert not list(portal.data_dir.glob("*.pid"))


def test_the_greeting_says_where_everything_is(stand_in: Path) -> None:
    with stack(cwd=stand_in) as portal:
        for text in (portal.url, "/dev/inbox", "/dev/authenticator", "/set-up/1", "Ctrl-C", "worker | working"):
            wait_until(lambda text=text: text in portal.output, text)  # type: ignore[misc]
        assert "prepare | preparing" in portal.output


def test_when_the_process_manager_is_killed_its_children_end_by_themselves(stand_in: Path) -> None:
    with stack(cwd=stand_in) as portal:
        children = {name: portal.pid(name) for name in ("web", "worker", "cron", "queue", "mail")}
        portal.kill("supervisor")
        portal.stop()
        wait_until(lambda: not set(running(portal)) & set(children.values()), "the children to end")


def test_a_start_after_a_kill_finds_the_data_and_ends_what_was_left(stand_in: Path) -> None:
    with stack(cwd=stand_in, env={"STUBBORN": "1"}) as portal:
        redis.Redis.from_url(portal.settings["REDIS_URL"]).set("waiting", "job")
        secret = portal.settings["SECRET_KEY"]
        old = portal.pid("worker")
        wait_until(lambda: "stubborn" in portal.output, "the worker to ignore SIGTERM")
        portal.kill("supervisor")
        portal.stop()
        assert old in running(portal)

        portal.start()
        assert "Ended" in portal.output
        assert old not in running(portal)
        assert get(portal)
        assert portal.settings["SECRET_KEY"] == secret
        assert redis.Redis.from_url(portal.settings["REDIS_URL"]).get("waiting") == b"job"
        portal.kill("supervisor", signal.SIGTERM)
        wait_until(lambda: "Stopping" in portal.output, "the first request to be heard")
        portal.stop()
        assert running(portal) == []


def test_a_part_that_dies_is_started_again_without_its_orphans(stand_in: Path) -> None:
    with stack(cwd=stand_in) as portal:
        wait_until(lambda: len(running(portal)) == 7, "seven processes")
        for name in ("web", "worker"):
            dead = portal.pid(name)
            portal.kill(name)
            wait_until(lambda name=name, dead=dead: is_another(portal, name, dead), name)  # type: ignore[misc]
        assert get(portal)
        wait_until(lambda: len(running(portal)) == 7, "as many processes as before")
        assert "worker has ended (signal 9); starting it again" in portal.output


def test_a_part_that_does_not_stop_is_made_to(stand_in: Path) -> None:
    with stack(cwd=stand_in, env={"STUBBORN": "1"}) as portal:
        wait_until(lambda: "stubborn" in portal.output, "the worker to ignore SIGTERM")
        # Asking a second time is what people in a hurry do.
        portal.kill("supervisor", signal.SIGINT)
        wait_until(lambda: "Stopping" in portal.output, "the first request to be heard")
        assert portal.stop(signal.SIGINT) == 0
        assert running(portal) == []


def test_a_port_in_use_is_named_before_anything_starts(stand_in: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(cwd=stand_in, env={"PORT": str(port)})
    assert f"Port {port} is in use" in said
    assert f"PORT={port + 1} ./run" in said
    assert "|" not in said


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_a_port_that_is_none_is_refused(stand_in: Path, port: str) -> None:
    assert "PORT must be a number" in refused(cwd=stand_in, env={"PORT": port})


def test_two_portals_do_not_share_their_data(stand_in: Path) -> None:
    with stack(cwd=stand_in) as portal:
        said = refused(cwd=stand_in, env={"DATA_DIR": str(portal.data_dir)})
        assert "Another portal has its data in" in said
        assert get(portal)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BROKEN": "web"}, "web could not start"),
        ({"BROKEN": "prepare"}, "`flask prepare` failed (exit code 3)"),
        ({"HEALTH": "500"}, "answers /healthz with 500"),
    ],
)
def test_a_portal_that_cannot_start_says_why_and_leaves_nothing(
    stand_in: Path, tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    said = refused(cwd=stand_in, env={**settings, "DATA_DIR": str(tmp_path / "var")})
    assert sentence in said
    assert "the stand-in is broken" in said or settings.get("BROKEN") != "web"
    assert processes.marked(f"{tmp_path / 'var'}:") == []


def test_what_the_environment_sets_is_not_embedded(stand_in: Path) -> None:
    with valkey() as url:
        given = {"DATABASE_URL": "sqlite:////tmp/not-made.db", "SECRET_KEY": "given"}
        with stack(cwd=stand_in, redis_url=url, mail=("127.0.0.1", free_port()), env=given) as portal:
            assert portal.settings | given == portal.settings
            assert not (portal.data_dir / "queue.pid").exists()
            assert not (portal.data_dir / "mail.pid").exists()
            assert not (portal.data_dir / "secret-key").exists()


def test_what_is_kept_is_private(stand_in: Path) -> None:
    with stack(cwd=stand_in, parts="web") as portal:
        assert stat.S_IMODE(portal.data_dir.stat().st_mode) == 0o700
        for name in ("secret-key", "environment"):
            assert stat.S_IMODE((portal.data_dir / name).stat().st_mode) == 0o600
        assert not (portal.data_dir / "worker.pid").exists()


def test_a_path_too_long_for_a_socket_is_no_obstacle(stand_in: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / ("long " * 20) / "var"
    with stack(cwd=stand_in, env={"DATA_DIR": str(data_dir)}) as portal:
        socket_file = Path(portal.settings["REDIS_URL"].removeprefix("unix://"))
        assert socket_file.is_socket()
        assert redis.Redis.from_url(portal.settings["REDIS_URL"]).ping()
        assert str(data_dir) not in str(socket_file)
    assert not socket_file.parent.exists()
