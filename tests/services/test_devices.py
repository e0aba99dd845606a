"""Devices and SEED with them: registered, reported on, tried again, removed, overdue (rules 4.3 to 4.7)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from webapp.domain.lifecycle import (
    AccountStatus,
    DeviceStatus,
    InvitationKind,
    InvitationState,
    MailState,
    OperatingSystem,
    SeedStatus,
)
from webapp.domain.mdm import Report
from webapp.domain.onboarding import Document
from webapp.extensions import db
from webapp.models import Account, Actor, Agency, AgreementAcceptance, AuditEvent, Device, Invitation, Mail
from webapp.services import (
    agreements,
    audit,
    device_removal,
    device_reports,
    devices,
    expiry,
    held_devices,
    purge,
    rehearsal,
    sweep,
)
from webapp.services.devices import NewDevice
from webapp.services.errors import (
    AgreementChanged,
    AgreementMissing,
    DeviceTaken,
    NoSeed,
    NotFound,
    SessionOver,
    TooManyDevices,
)

S, D = SeedStatus, DeviceStatus
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ID = "8e2b3c44-5d6f-4a7b-8c9d-0e1f2a3b4c5d"
MAC = NewDevice("MacBook Air", OperatingSystem.MACOS, "C02XG2JHH3JK", ID)


def by(account: Account) -> audit.By:
    return audit.By.person(account, "203.0.113.7")


def fresh(thing):
    return db.session.get_one(type(thing), thing.id, populate_existing=True)


def kinds() -> list[str]:
    return list(db.session.scalars(select(Mail.kind).order_by(Mail.id)))


def actions(account: Account) -> list[str]:
    query = select(AuditEvent.action).where(AuditEvent.account_id == account.id).order_by(AuditEvent.id)
    return list(db.session.scalars(query))


def details(action: str) -> list[dict[str, object]]:
    query = select(AuditEvent.detail).where(AuditEvent.action == action).order_by(AuditEvent.id)
    return list(db.session.scalars(query))


def links(account: Account) -> list[tuple[InvitationState, object]]:
    query = select(Invitation.state, Invitation.expires_at).where(Invitation.account_id == account.id)
    return [(row.state, row.expires_at) for row in db.session.execute(query.order_by(Invitation.id))]


def count(table=Device) -> int:
    return db.session.scalar(select(func.count()).select_from(table)) or 0


def accept(account: Account, now) -> None:
    agreements.accept(account.id, agreements.in_force(Document.MDM_AUP, now), "203.0.113.7", now)
    db.session.commit()


@pytest.fixture
def invited(make, now) -> Callable[..., Account]:
    """Somebody active who is invited to SEED and has accepted its policy."""

    def somebody(at=now, **changes) -> Account:
        account = make.account(**{"seed_status": S.INVITED} | changes)
        make.invitation(account, InvitationKind.SEED, at)
        accept(account, now)
        return account

    return somebody


@pytest.fixture
def holder(invited, make, now, policy) -> Callable[..., tuple[Account, Device]]:
    """Somebody with a device in ``status``, come there by the services."""

    def somebody(status: DeviceStatus = D.TRIGGERED, at=now, intune_device_id=ID) -> tuple[Account, Device]:
        account = invited(at)
        device = devices.register(account.id, replace(MAC, intune_device_id=intune_device_id), by(account), now, policy)
        for step in {
            D.SOFTWARE_INSTALLED: [D.SOFTWARE_INSTALLED],
            D.ONBOARDED: [D.SOFTWARE_INSTALLED, D.ONBOARDED],
            D.FAILED: [D.FAILED],
        }.get(status, []):
            report(step, now, policy, intune_device_id=intune_device_id)
        return account, fresh(device)

    return somebody


def report(status, now, policy, *, at=None, reason="", intune_device_id=ID) -> str:
    # A moment apart, as clocks are.
    before = db.session.scalar(select(func.max(Device.reported_at)).where(Device.intune_device_id == intune_device_id))
    at = at or max(now, before + timedelta(milliseconds=1)) if before else at or now
    result = device_reports.apply(Report(intune_device_id, status, at, reason), now, policy)
    db.session.commit()
    return result


# Registering.


def test_a_device_is_registered(invited, now, policy):
    account = invited()
    device = fresh(devices.register(account.id, MAC, by(account), now, policy))
    assert (device.account_id, device.name, device.serial_number) == (account.id, "MacBook Air", "C02XG2JHH3JK")
    assert (device.operating_system, device.intune_device_id) == (OperatingSystem.MACOS, ID)
    assert device.status is D.TRIGGERED
    assert device.registered_at == device.status_at == now
    assert device.remove_at == now + 14 * DAY
    assert device.reported_at == now - timedelta(minutes=5)
    assert fresh(account).seed_status is S.INVITED
    assert links(account) == [(InvitationState.USED, now + 30 * DAY)]
    assert actions(account) == ["device.registered"]
    assert details("device.registered") == [{"device": device.id}]
    assert kinds() == []


def test_registering_the_same_twice_gives_the_one_there_is(invited, now, policy):
    account = invited()
    first = devices.register(account.id, MAC, by(account), now, policy)
    again = devices.register(account.id, replace(MAC, name="Another name"), by(account), now + SECOND, policy)
    assert again.id == first.id
    assert fresh(first).name == "MacBook Air"
    assert count() == 1
    assert actions(account) == ["device.registered"]


def test_a_second_device_is_refused_until_the_first_is_removed(holder, now, policy):
    account, device = holder()
    other = replace(MAC, intune_device_id=ID.replace("8", "9"))
    with pytest.raises(TooManyDevices):
        devices.register(account.id, other, by(account), now, policy)
    device_removal.remove(account.id, device.id, by(account), now, policy)
    assert devices.register(account.id, other, by(account), now, policy).status is D.TRIGGERED


@pytest.mark.parametrize("status", [D.TRIGGERED, D.ONBOARDED, D.FAILED])
def test_where_two_are_allowed_a_second_needs_no_other_invitation(holder, now, policy, status):
    account, _ = holder(status)
    two = replace(policy, devices_per_person=2)
    other = replace(MAC, intune_device_id=ID.replace("8", "9"))
    devices.register(account.id, other, by(account), now, two)
    with pytest.raises(TooManyDevices):
        devices.register(account.id, replace(MAC, intune_device_id=ID.replace("8", "7")), by(account), now, two)
    assert count() == 2


@pytest.mark.parametrize("seed", [s for s in S if s is not S.INVITED], ids=str)
def test_without_seed_nothing_is_registered(invited, now, policy, seed):
    account = invited(seed_status=seed)
    with pytest.raises(NoSeed):
        devices.register(account.id, MAC, by(account), now, policy)
    assert count() == 0


def test_the_invitation_counts_until_its_end_without_the_sweep(invited, now, policy):
    account, late = invited(), invited()
    devices.register(account.id, MAC, by(account), now + 30 * DAY, policy)
    with pytest.raises(NoSeed):
        devices.register(
            late.id, replace(MAC, intune_device_id=ID.replace("8", "9")), by(late), now + 30 * DAY + SECOND, policy
        )
    assert count() == 1


@pytest.mark.parametrize("status", [s for s in AccountStatus if s is not AccountStatus.ACTIVE], ids=str)
def test_only_an_active_person_does_anything(make, invited, now, policy, status):
    account = invited(status=status)
    device = make.device(account, D.FAILED)
    with pytest.raises(SessionOver):
        devices.register(account.id, MAC, by(account), now, policy)
    with pytest.raises(SessionOver):
        devices.retry(account.id, device.id, by(account), now, policy)
    with pytest.raises(SessionOver):
        device_removal.remove(account.id, device.id, by(account), now, policy)
    with pytest.raises(SessionOver):
        devices.accept_policy(account.id, "2026-11-02", by(account), now)
    assert fresh(device).status is D.FAILED
    assert actions(account) == []


def test_the_policy_comes_before_the_device(make, now, policy):
    account = make.account(seed_status=S.INVITED)
    make.invitation(account, InvitationKind.SEED)
    with pytest.raises(AgreementMissing):
        devices.register(account.id, MAC, by(account), now, policy)
    with pytest.raises(AgreementChanged):
        devices.accept_policy(account.id, "2020-01-01", by(account), now)
    assert count(AgreementAcceptance) == 0
    for _ in range(2):
        devices.accept_policy(account.id, "2026-11-02", by(account), now)
    assert count(AgreementAcceptance) == 1
    assert db.session.scalars(select(AgreementAcceptance.peer)).all() == ["203.0.113.7"]
    devices.register(account.id, MAC, by(account), now, policy)
    assert actions(account) == ["agreement.accepted", "device.registered"]


@pytest.mark.parametrize("status", [D.TRIGGERED, D.ONBOARDED, D.FAILED])
def test_an_id_that_is_registered_is_refused(holder, invited, now, policy, status):
    holder(status)
    other = invited()
    with pytest.raises(DeviceTaken):
        devices.register(other.id, MAC, by(other), now, policy)
    assert count() == 1
    assert links(other) == [(InvitationState.LIVE, now + 30 * DAY)]
    assert actions(other) == []


def test_an_id_is_free_again_once_its_device_is_removed(holder, invited, now, policy):
    account, device = holder()
    device_removal.remove(account.id, device.id, by(account), now, policy)
    other = invited()
    assert devices.register(other.id, MAC, by(other), now, policy).account_id == other.id


def test_an_id_is_free_again_after_its_time_without_the_sweep(holder, invited, now, policy):
    account, device = holder()
    other = invited()
    with pytest.raises(DeviceTaken):
        devices.register(other.id, MAC, by(other), now + 14 * DAY, policy)
    taken = devices.register(other.id, MAC, by(other), now + 14 * DAY + SECOND, policy)
    assert taken.account_id == other.id
    assert fresh(device).status is D.REMOVED
    assert kinds() == ["device_removed"]
    assert actions(account)[-1] == "device.removed"


def test_ones_own_can_be_registered_anew_after_its_time_without_the_sweep(holder, now, policy):
    account, device = holder()
    later = now + 14 * DAY + SECOND
    again = devices.register(account.id, MAC, by(account), later, policy)
    assert again.id != device.id
    assert again.remove_at == later + 14 * DAY
    assert links(account)[-1] == (InvitationState.USED, now + 30 * DAY)


def run_at_once(app, jobs: list[Callable[[], object]]) -> list[object]:
    """What each gave, or the error that it raised."""
    db.session.rollback()  # On SQLite whoever reads holds the pen.

    def one(job: Callable[[], object]) -> object:
        with app.app_context():
            try:
                return job()
            except Exception as error:
                return error

    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(one, jobs))


def test_of_fifty_people_at_once_one_gets_the_id(app, invited, now, policy):
    people = [invited() for _ in range(50)]
    numbers = [(account.id, by(account)) for account in people]

    def job(number: int, actor: audit.By) -> Callable[[], object]:
        return lambda: devices.register(number, MAC, actor, now, policy)

    found = run_at_once(app, [job(number, actor) for number, actor in numbers])
    assert sum(isinstance(each, Device) for each in found) == 1
    assert sum(isinstance(each, DeviceTaken) for each in found) == 49
    assert count() == 1
    assert db.session.scalar(select(func.count()).select_from(Invitation).filter_by(state="live")) == 49


def test_pressed_in_many_tabs_at_once_it_registers_one(app, invited, now, policy):
    account = invited()
    number, actor = account.id, by(account)
    found = run_at_once(app, [lambda: devices.register(number, MAC, actor, now, policy).id] * 16)
    assert len(set(found)) == 1
    assert count() == 1
    assert actions(account) == ["device.registered"]


# The MDM system's reports.


def test_the_way_to_onboarded(holder, now, policy):
    account, device = holder()
    assert report(D.SOFTWARE_INSTALLED, now + SECOND, policy) == "changed"
    device = fresh(device)
    assert (device.status, device.status_at) == (D.SOFTWARE_INSTALLED, now + SECOND)
    assert device.remove_at == now + 14 * DAY
    assert kinds() == []
    assert report(D.ONBOARDED, now + 2 * SECOND, policy) == "changed"
    device = fresh(device)
    assert (device.status, device.remove_at) == (D.ONBOARDED, None)
    assert fresh(account).seed_status is S.ONBOARDED
    assert fresh(account).seed_status_at == now + 2 * SECOND
    assert kinds() == ["device_onboarded"]
    assert actions(account) == ["device.registered", "device.status", "device.status"]
    assert details("device.status")[-1] == {"device": device.id, "status": "onboarded", "source": "mdm"}


@pytest.mark.parametrize("status", [D.TRIGGERED, D.SOFTWARE_INSTALLED])
def test_a_failure_is_told_with_its_reason(holder, now, policy, status):
    account, device = holder(status)
    assert report(D.FAILED, now + SECOND, policy, reason="BitLocker is off") == "changed"
    device = fresh(device)
    assert (device.status, device.reason, device.remove_at) == (D.FAILED, "BitLocker is off", None)
    assert fresh(account).seed_status is S.INVITED
    assert kinds() == ["device_failed"]
    assert "BitLocker" not in str(details("device.status"))


@pytest.mark.parametrize("status", [D.SOFTWARE_INSTALLED, D.ONBOARDED])
def test_good_news_after_a_failure_counts(holder, now, policy, status):
    account, device = holder(D.FAILED)
    assert report(status, now + SECOND, policy) == "changed"
    device = fresh(device)
    assert (device.status, device.reason) == (status, "")
    assert device.remove_at == (None if status is D.ONBOARDED else now + SECOND + 14 * DAY)
    assert (fresh(account).seed_status is S.ONBOARDED) is (status is D.ONBOARDED)


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        (D.SOFTWARE_INSTALLED, D.SOFTWARE_INSTALLED),
        (D.ONBOARDED, D.ONBOARDED),
        (D.ONBOARDED, D.SOFTWARE_INSTALLED),
        (D.ONBOARDED, D.FAILED),
        (D.FAILED, D.FAILED),
    ],
)
def test_a_report_that_leads_nowhere_changes_nothing_but_the_clock(holder, now, policy, status, reported):
    account, device = holder(status)
    before = (device.status, device.status_at, device.reason, kinds(), actions(account))
    assert report(reported, now + SECOND, policy) == "ignored"
    device = fresh(device)
    assert (device.status, device.status_at, device.reason, kinds(), actions(account)) == before
    assert device.reported_at == now + SECOND
    assert report(D.REMOVED, now + SECOND, policy, at=now + SECOND) == "late"


def test_a_later_failure_brings_its_reason_and_no_second_mail(holder, now, policy):
    account, device = holder()
    assert report(D.FAILED, now, policy, reason="No space") == "changed"
    assert report(D.FAILED, now + SECOND, policy, reason="BitLocker is off") == "changed"
    device = fresh(device)
    assert (device.status, device.status_at, device.reason) == (D.FAILED, now + SECOND, "BitLocker is off")
    assert kinds() == ["device_failed"]
    assert actions(account) == ["device.registered", "device.status", "device.status"]


@pytest.mark.parametrize("reason", ["No space", "BitLocker is off"])
def test_older_good_news_makes_no_onboarded_device_of_one_that_failed_again(holder, now, policy, reason):
    account, device = holder()
    later = now + 3 * SECOND
    assert report(D.FAILED, later, policy, at=now, reason="No space") == "changed"
    report(D.FAILED, later, policy, at=now + 2 * SECOND, reason=reason)
    assert report(D.ONBOARDED, later, policy, at=now + SECOND) == "late"
    assert (fresh(device).status, fresh(device).reason) == (D.FAILED, reason)
    assert fresh(account).seed_status is S.INVITED
    assert kinds() == ["device_failed"]


def test_a_report_counts_only_if_its_clock_is_later(holder, now, policy):
    _, device = holder()
    floor = now - timedelta(minutes=5)
    assert report(D.FAILED, now, policy, at=floor) == "late"
    assert report(D.SOFTWARE_INSTALLED, now, policy, at=floor + SECOND) == "changed"
    assert report(D.FAILED, now, policy, at=floor + SECOND) == "late"
    assert report(D.FAILED, now, policy, at=floor) == "late"
    assert fresh(device).status is D.SOFTWARE_INSTALLED
    assert kinds() == []


def test_reports_in_the_wrong_order_end_the_same(holder, now, policy):
    account, device = holder()
    assert report(D.ONBOARDED, now, policy, at=now + 2 * SECOND) == "changed"
    assert report(D.SOFTWARE_INSTALLED, now, policy, at=now + SECOND) == "late"
    assert fresh(device).status is D.ONBOARDED
    assert fresh(account).seed_status is S.ONBOARDED


def test_parallel_reports_count_once(app, holder, now, policy):
    account, _ = holder()

    def job() -> object:
        result = device_reports.apply(Report(ID, D.ONBOARDED, now + SECOND), now + SECOND, policy)
        db.session.commit()
        return result

    found = run_at_once(app, [job] * 20)
    assert found.count("changed") == 1
    assert found.count("late") == 19
    assert kinds() == ["device_onboarded"]
    assert actions(account).count("device.status") == 1


def test_a_report_and_a_removal_at_once_leave_one_truth(app, holder, now, policy):
    account, device = holder(D.SOFTWARE_INSTALLED)
    number, own, actor = account.id, device.id, by(account)

    def told() -> object:
        result = device_reports.apply(Report(ID, D.ONBOARDED, now + SECOND), now + SECOND, policy)
        db.session.commit()
        return result

    run_at_once(app, [told, lambda: device_removal.remove(number, own, actor, now + SECOND, policy)] * 4)
    assert fresh(device).status is D.REMOVED
    assert fresh(account).seed_status is S.INVITED
    assert [state for state, _ in links(account)].count(InvitationState.LIVE) == 1


def test_a_report_of_an_unknown_or_removed_device_is_refused(holder, now, policy):
    account, device = holder()
    with pytest.raises(NotFound):
        report(D.ONBOARDED, now, policy, intune_device_id=ID.replace("8", "9"))
    device_removal.remove(account.id, device.id, by(account), now, policy)
    with pytest.raises(NotFound):
        report(D.ONBOARDED, now + SECOND, policy)
    assert fresh(account).seed_status is S.INVITED


def test_a_report_changes_nothing_after_the_devices_time_without_the_sweep(holder, now, policy):
    account, device = holder()
    with pytest.raises(NotFound):
        report(D.ONBOARDED, now + 14 * DAY + SECOND, policy)
    assert fresh(device).status is D.TRIGGERED
    assert fresh(account).seed_status is S.INVITED
    assert report(D.ONBOARDED, now + 14 * DAY, policy) == "changed"


def test_while_suspended_the_device_goes_on_and_seed_does_not(holder, now, policy):
    account, device = holder()
    account = fresh(account)
    account.move(AccountStatus.DISABLED, now)
    account.move_seed(S.SUSPENDED, now)
    db.session.commit()
    assert report(D.ONBOARDED, now + SECOND, policy) == "changed"
    assert fresh(device).status is D.ONBOARDED
    assert fresh(account).seed_status is S.SUSPENDED
    assert kinds() == []  # Nobody can use it, and no page is open to its holder.
    assert report(D.REMOVED, now + 2 * SECOND, policy) == "changed"
    assert fresh(account).seed_status is S.SUSPENDED
    assert kinds() == ["device_removed"]


def test_while_disabled_nobody_is_told_to_try_again(holder, now, policy):
    account, device = holder()
    account = fresh(account)
    account.move(AccountStatus.DISABLED, now)
    account.move_seed(S.SUSPENDED, now)
    db.session.commit()
    assert report(D.FAILED, now + SECOND, policy, reason="No space") == "changed"
    assert fresh(device).status is D.FAILED
    assert kinds() == []


def test_nobody_else_is_mailed(make, now, policy):
    account = make.account(AccountStatus.REJECTED, seed_status=S.INVITED)
    make.device(account, intune_device_id=ID)
    for status in (D.FAILED, D.ONBOARDED, D.REMOVED):
        assert report(status, now, policy) == "changed"
    assert kinds() == []


# Trying again.


def test_what_failed_is_tried_again(holder, now, policy):
    account, device = holder(D.FAILED)
    assert devices.retry(account.id, device.id, by(account), now + DAY, policy) is True
    device = fresh(device)
    assert (device.status, device.status_at, device.reason) == (D.TRIGGERED, now + DAY, "")
    assert device.remove_at == now + 15 * DAY
    assert device.registered_at == now
    assert devices.retry(account.id, device.id, by(account), now + DAY, policy) is False
    assert actions(account)[-1] == "device.retried"
    assert actions(account).count("device.retried") == 1


def test_what_is_still_said_of_the_last_try_is_late(holder, now, policy):
    account, device = holder(D.FAILED)
    devices.retry(account.id, device.id, by(account), now + DAY, policy)
    assert report(D.FAILED, now + DAY, policy, at=now + DAY - timedelta(minutes=5)) == "late"
    assert report(D.ONBOARDED, now + DAY, policy, at=now + DAY) == "changed"


@pytest.mark.parametrize("status", [D.TRIGGERED, D.SOFTWARE_INSTALLED, D.ONBOARDED])
def test_what_has_not_failed_is_left_alone(holder, now, policy, status):
    account, device = holder(status)
    assert devices.retry(account.id, device.id, by(account), now + DAY, policy) is False
    assert fresh(device).status is status


# Removing.


@pytest.mark.parametrize("status", [D.TRIGGERED, D.SOFTWARE_INSTALLED, D.FAILED])
def test_removing_one_under_way_keeps_the_deadline(holder, now, policy, status):
    account, device = holder(status)
    before = kinds()
    assert device_removal.remove(account.id, device.id, by(account), now + 10 * DAY, policy) is True
    device = fresh(device)
    assert (device.status, device.remove_at) == (D.REMOVED, None)
    assert fresh(account).seed_status is S.INVITED
    assert links(account) == [(InvitationState.USED, now + 30 * DAY), (InvitationState.LIVE, now + 30 * DAY)]
    latest = db.session.scalars(select(Invitation).order_by(Invitation.id.desc()).limit(1)).one()
    assert latest.remind_at == now + 23 * DAY
    assert kinds() == before
    assert details("device.removed") == [{"device": device.id, "cause": "holder"}]


def test_removing_one_under_way_after_the_deadline_lets_seed_expire(holder, now, policy):
    account, device = holder(D.FAILED)
    device_removal.remove(account.id, device.id, by(account), now + 30 * DAY + SECOND, policy)
    assert fresh(account).seed_status is S.EXPIRED
    assert [state for state, _ in links(account)] == [InvitationState.USED]
    assert actions(account)[-2:] == ["device.removed", "seed.expired"]
    assert "seed_expired" not in kinds()


def test_removing_one_that_was_onboarded_invites_anew(holder, now, policy):
    account, device = holder(D.ONBOARDED)
    later = now + 200 * DAY
    device_removal.remove(account.id, device.id, by(account), later, policy)
    assert fresh(account).seed_status is S.INVITED
    assert links(account)[-1] == (InvitationState.LIVE, later + 30 * DAY)
    assert kinds() == ["device_onboarded", "device_removed"]
    removed = db.session.scalars(select(Mail).where(Mail.kind == "device_removed")).one()
    assert removed.context == {
        "device_id": device.id,
        "cause": "holder",
        "was_onboarded": True,
        "deadline": (later + 30 * DAY).isoformat(),
    }


@pytest.mark.parametrize("status", [D.TRIGGERED, D.ONBOARDED])
def test_removing_twice_does_it_once(holder, now, policy, status):
    account, device = holder(status)
    assert device_removal.remove(account.id, device.id, by(account), now, policy) is True
    before = (kinds(), actions(account), links(account))
    assert device_removal.remove(account.id, device.id, by(account), now + SECOND, policy) is False
    assert (kinds(), actions(account), links(account)) == before


@pytest.mark.parametrize(("status", "seed"), [(D.TRIGGERED, S.INVITED), (D.ONBOARDED, S.INVITED)])
def test_the_mdm_system_removes_one_and_its_holder_is_told(holder, now, policy, status, seed):
    account, device = holder(status)
    assert report(D.REMOVED, now + SECOND, policy) == "changed"
    assert fresh(device).status is D.REMOVED
    assert fresh(account).seed_status is seed
    assert kinds()[-1] == "device_removed"
    assert details("device.removed") == [{"device": device.id, "cause": "mdm", "source": "mdm"}]
    assert links(account)[-1][0] is InvitationState.LIVE


def test_with_another_device_left_seed_follows_that_one(holder, now, policy):
    account, first = holder(D.ONBOARDED)
    two = replace(policy, devices_per_person=2)
    other_id = ID.replace("8", "9")
    second = devices.register(account.id, replace(MAC, intune_device_id=other_id), by(account), now, two)
    device_removal.remove(account.id, first.id, by(account), now, two)
    assert fresh(account).seed_status is S.INVITED
    assert [state for state, _ in links(account)] == [InvitationState.USED]
    assert report(D.ONBOARDED, now, two, intune_device_id=other_id) == "changed"
    assert fresh(account).seed_status is S.ONBOARDED
    third = devices.register(account.id, MAC, by(account), now, two)
    device_removal.remove(account.id, third.id, by(account), now, two)
    assert fresh(account).seed_status is S.ONBOARDED
    device_removal.remove(account.id, second.id, by(account), now, two)
    assert fresh(account).seed_status is S.INVITED
    assert links(account)[-1][0] is InvitationState.LIVE


@pytest.mark.parametrize("seed", [S.SUSPENDED, S.WITHDRAWN, S.REQUESTED, S.EXPIRED])
def test_any_other_state_of_seed_stays(make, now, policy, seed):
    account = make.account(seed_status=seed)
    device = make.device(account, D.ONBOARDED)
    device_removal.remove(account.id, device.id, by(account), now, policy)
    assert fresh(account).seed_status is seed
    assert links(account) == []


def test_another_persons_device_does_not_exist(holder, make, now, policy):
    _, device = holder(D.FAILED)
    stranger = make.account(seed_status=S.INVITED)
    for act in (devices.retry, device_removal.remove):
        with pytest.raises(NotFound):
            act(stranger.id, device.id, by(stranger), now, policy)
    with pytest.raises(NotFound):
        held_devices.find(stranger.id, device.id)
    with pytest.raises(NotFound):
        held_devices.find(stranger.id, 2**62)
    assert fresh(device).status is D.FAILED
    assert actions(stranger) == []


# What takes too long.


@pytest.mark.parametrize("status", [D.TRIGGERED, D.SOFTWARE_INSTALLED])
def test_what_is_under_way_for_too_long_is_removed_with_a_mail(holder, now, policy, status):
    account, device = holder(status)
    assert device_removal.remove_overdue(now + 14 * DAY, policy) == 0
    later = now + 14 * DAY + SECOND
    assert device_removal.remove_overdue(later, policy) == 1
    assert device_removal.remove_overdue(later, policy) == 0
    assert fresh(device).status is D.REMOVED
    assert fresh(account).seed_status is S.INVITED
    assert links(account)[-1] == (InvitationState.LIVE, now + 30 * DAY)
    removed = db.session.scalars(select(Mail).where(Mail.kind == "device_removed")).one()
    assert (removed.context["cause"], removed.context["was_onboarded"]) == ("time", False)
    assert removed.context["deadline"] == (now + 30 * DAY).isoformat()
    assert details("device.removed") == [{"device": device.id, "cause": "time"}]


def test_if_the_invitation_has_run_out_too_seed_expires_with_one_mail(invited, now, policy):
    account = invited(now - 20 * DAY)
    devices.register(account.id, MAC, by(account), now, policy)
    summary = sweep.sweep(now + 14 * DAY + SECOND, policy)
    assert summary.done["devices_removed"] == 1
    assert summary.done["seed_expired"] == 0
    assert fresh(account).seed_status is S.EXPIRED
    assert kinds() == ["device_removed"]


@pytest.mark.parametrize("status", [D.ONBOARDED, D.FAILED])
def test_what_arrived_or_failed_stays(holder, now, policy, status):
    account, device = holder(status)
    assert device_removal.remove_overdue(now + 400 * DAY, policy) == 0
    assert fresh(device).status is status
    assert "device_removed" not in kinds()
    assert fresh(account).seed_status is (S.ONBOARDED if status is D.ONBOARDED else S.INVITED)


def test_two_sweeps_at_once_remove_each_once(app, make, now, policy, monkeypatch):
    monkeypatch.setattr(device_removal, "BATCH", 3)
    for _ in range(20):
        account = make.account(seed_status=S.INVITED)
        make.device(account)
    later = now + 14 * DAY + SECOND
    found = run_at_once(app, [lambda: device_removal.remove_overdue(later, policy)] * 4)
    assert all(isinstance(each, int) for each in found), found
    device_removal.remove_overdue(later, policy)
    assert db.session.scalar(select(func.count()).select_from(Device).where(Device.status != D.REMOVED)) == 0
    assert kinds() == ["device_removed"] * 20


@pytest.mark.parametrize("app", ["postgresql"], indirect=True)
def test_a_sweep_passes_over_what_somebody_else_holds(app, make, now, policy):
    held, free = (make.device(make.account(seed_status=S.INVITED)) for _ in range(2))
    held_account = held.account_id
    later = now + 14 * DAY + SECOND
    with db.engine.connect() as other:
        other.execute(select(Account.id).where(Account.id == held_account).with_for_update())
        db.session.execute(text("SET LOCAL lock_timeout = '5s'"))  # Waiting for it would end in an error.
        assert device_removal.remove_overdue(later, policy) == 1
        other.rollback()
    assert [fresh(device).status for device in (held, free)] == [D.TRIGGERED, D.REMOVED]
    assert device_removal.remove_overdue(later, policy) == 1


def test_what_is_registered_neither_expires_nor_reminds(holder, now, policy):
    account, device = holder(D.FAILED)
    for days in (23, 24, 29, 30, 31):
        sweep.sweep(now + days * DAY + SECOND, policy)
    assert fresh(account).seed_status is S.INVITED
    assert fresh(device).status is D.FAILED
    assert kinds() == ["device_failed"]


def test_the_rehearsal_names_whose_device_would_go(holder, now, policy):
    account, device = holder()
    planned = [(item.what, item.account.email) for item in rehearsal.rehearse(now + 14 * DAY + SECOND, policy)]
    assert ("devices_removed", account.email) in planned
    db.session.rollback()
    assert fresh(device).status is D.TRIGGERED


def test_the_pages_know_of_it_before_the_sweep(holder, now, policy):
    account, _ = holder()
    account = fresh(account)
    account.agency = db.session.get_one(Agency, account.agency_id)
    found = devices.overview(account, now + 14 * DAY, policy)
    assert [device.status for device in found.devices] == [D.TRIGGERED]
    assert found.has_room is False
    found = devices.overview(account, now + 14 * DAY + SECOND, policy)
    assert not found.devices
    assert found.has_room is True
    assert found.seed.valid_until == now + 30 * DAY


# With the account.


def test_the_devices_end_with_the_account_and_nobody_is_mailed_of_it(holder, make, now, policy):
    account, device = holder(D.ONBOARDED)
    account = fresh(account)
    account.move(AccountStatus.DISABLED, now)
    account.move_seed(S.SUSPENDED, now)
    removed = make.device(account, D.REMOVED)
    expiry.terminate(account, now)
    db.session.commit()
    assert fresh(device).status is D.REMOVED
    record = select(AuditEvent).where(AuditEvent.action == "device.removed")
    (event,) = db.session.scalars(record).all()  # Not for the one that was removed before.
    assert event.detail == {"device": device.id, "cause": "account ended"}
    assert (event.account_id, event.actor, event.at) == (account.id, Actor.SYSTEM, now)
    assert removed.id != device.id
    assert "device_removed" not in kinds()
    queued = select(Mail.kind).where(Mail.state == MailState.QUEUED)
    assert db.session.scalars(queued).all() == []
    other = make.account(seed_status=S.INVITED)
    make.invitation(other, InvitationKind.SEED)
    accept(other, now)
    assert devices.register(other.id, MAC, by(other), now, policy).account_id == other.id


def test_forgetting_a_person_forgets_the_devices(holder, now, policy):
    account, _ = holder()
    kept, _ = holder(intune_device_id=ID.replace("8", "9"))
    account = fresh(account)
    account.status, account.purge_at = AccountStatus.TERMINATED, now
    db.session.commit()
    assert purge.purge(now) == 1
    assert db.session.scalars(select(Device.account_id)).all() == [kept.id]
