"""The robot check: a solution counts once, in its time, as it was signed (rule 1.7)."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import altcha
import pytest
from sqlalchemy import func, select

from webapp.extensions import db
from webapp.models import UsedSolution
from webapp.services import robot_check
from webapp.services.errors import RobotCheckFailed


def used() -> int:
    return db.session.scalar(select(func.count()).select_from(UsedSolution)) or 0


def changed(solution: str, change) -> str:
    payload = json.loads(base64.b64decode(solution))
    change(payload)
    return base64.b64encode(json.dumps(payload).encode()).decode()


def test_a_solution_counts_once(app, make, now):
    solution = make.solution()
    assert robot_check.is_solved(solution)
    robot_check.use(solution, now)
    with pytest.raises(RobotCheckFailed):
        robot_check.use(solution, now)
    assert robot_check.is_solved(solution), "right, though used"
    assert db.session.scalars(select(UsedSolution.expires_at)).one() == now + timedelta(minutes=20)


def test_a_form_that_is_refused_leaves_it_usable(app, make, now):
    solution = make.solution()
    robot_check.use(solution, now)
    db.session.rollback()
    robot_check.use(solution, now)


def test_one_solution_used_many_times_at_once_counts_once(app, make, now):
    solution = make.solution()

    def use(_: int) -> bool:
        with app.app_context():
            try:
                robot_check.use(solution, now)
            except RobotCheckFailed:
                return False
            db.session.commit()
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(30))) == 1
    assert used() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload["challenge"].update(signature="0" * 64),
        lambda payload: payload["challenge"].pop("signature"),
        lambda payload: payload["challenge"].update(signature=None),
        lambda payload: payload["challenge"].update(signature=["a"]),
        lambda payload: payload["challenge"]["parameters"].update(cost=2),
        lambda payload: payload["challenge"]["parameters"].update(nonce="00" * 16),
        lambda payload: payload["challenge"]["parameters"].update(expiresAt=4102444800),
        lambda payload: payload["challenge"].pop("parameters"),
        lambda payload: payload["solution"].update(derivedKey="00" * 32),
        lambda payload: payload.pop("solution"),
        lambda payload: payload.pop("challenge"),
        lambda payload: payload.update(challenge="x"),
        lambda payload: payload.update(challenge=[]),
        lambda payload: payload.update(solution=5),
    ],
)
def test_what_was_changed_does_not_count(app, make, now, change):
    solution = changed(make.solution(), change)
    assert not robot_check.is_solved(solution)
    with pytest.raises(RobotCheckFailed):
        robot_check.use(solution, now)
    assert used() == 0


@pytest.mark.parametrize(
    "solution",
    [
        "",
        "rubbish",
        "😀",
        "\x00",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"5").decode(),
        base64.b64encode(b"null").decode(),
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b'{"challenge": {"signature": "x"}}').decode(),
        base64.b64encode(b"[" * 2900).decode(),
        "A" * 4001,
    ],
    ids=range(12),
)
def test_rubbish_does_not_count(app, solution):
    assert not robot_check.is_solved(solution)


def test_a_puzzle_has_its_time(app, make):
    """The library reads the machine's own clock."""
    present = datetime.now(UTC)
    for begun, good in ((present, True), (present - timedelta(minutes=21), False)):
        challenge = altcha.Challenge.from_dict(robot_check.challenge(begun))
        solved = altcha.solve_challenge(challenge)
        assert solved is not None
        payload = {"challenge": challenge.to_dict(), "solution": solved.to_dict()}
        solution = base64.b64encode(json.dumps(payload).encode()).decode()
        assert robot_check.is_solved(solution) is good


def test_a_puzzle_of_another_portal_does_not_count(app, make, monkeypatch):
    solution = make.solution()
    monkeypatch.setitem(app.config, "SECRET_KEYS", ("another secret for tests, 9876543210",))
    assert not robot_check.is_solved(solution)


def test_no_two_puzzles_are_alike(app, now):
    assert len({json.dumps(robot_check.challenge(now), sort_keys=True) for _ in range(50)}) == 50
