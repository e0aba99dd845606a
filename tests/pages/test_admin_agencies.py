"""The admins' pages of agencies: listed, changed once it is said what that means, imported (rules 1.6, 8.4 and 8.9)."""

from __future__ import annotations

import io
import re
from html import unescape

import pytest
from sqlalchemy import select

from webapp.domain.lifecycle import Role
from webapp.extensions import db
from webapp.models import Account, Agency, AuditEvent, UnknownAgency
from webapp.services import agencies

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "htmx"])
MOE = {"domain": "moe.gov.sg", "name": "Ministry of Education", "mode": "open", "seed_eligible": "y"}
HSA = {"domain": "hsa.gov.sg", "name": "Health Sciences Authority", "mode": "open", "seed_eligible": "y"}
HEADER = "domain;name;mode;reason;seed_eligible;approves_automatically;vendors_allowed"
LINES = f"{HEADER}\nhsa.gov.sg;Health;open;;yes;no;no\nmoe.gov.sg;Education;invitation only;;yes;no;no\n"


@pytest.fixture
def admin(client, make):
    account = make.admin("boss@tech.gov.sg")
    make.sign_in(client, account)
    return account


@pytest.fixture
def auditor(client, make):
    account = make.account(role=Role.AUDITOR)
    make.sign_in(client, account)
    return account


@pytest.fixture
def knocking(app, now):
    for domain, tries in (("hsa.gov.sg", 3), ("sla.gov.sg", 1)):
        db.session.add(UnknownAgency(domain=domain, tries=tries, last_at=now))
    db.session.commit()


def agency(domain="moe.gov.sg"):
    query = select(Agency).where(Agency.domain == domain).execution_options(populate_existing=True)
    return db.session.scalars(query).one_or_none()


def page_of(domain="moe.gov.sg"):
    return f"/admin/agencies/{agency(domain).id}"


def version(domain="moe.gov.sg"):
    return agencies.settings_of(agency(domain)).version


def recorded():
    return db.session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()


def follow(client, answer):
    address = answer.headers.get("HX-Redirect") or answer.location
    return " ".join(client.get(address).text.split())


def test_the_list_says_how_each_agency_stands(client, make, admin):
    for number in range(3):
        make.request(f"a{number}@moe.gov.sg", seed=number == 0)
    page = client.get("/admin/agencies").text
    text = " ".join(page.split())
    assert "20 agencies shown" in text
    row = text[text.index("Ministry of Education") :]
    row = row[: row.index("</tr>")]
    waiting = f'/admin/requests?agency={agency().id}">4<'
    for words in ("moe.gov.sg", "Open", "Offered", "By hand", "Not allowed", waiting):
        assert words in row
    assert "Unknown agencies" not in text


@pytest.mark.parametrize(
    ("query", "found", "not_found"),
    [
        ("q=EDUCATION", ["moe.gov.sg"], ["mom.gov.sg"]),
        ("q=mo", ["moe.gov.sg", "mom.gov.sg", "mof.gov.sg"], ["ura.gov.sg"]),
        ("q=%25", ["No agency is like that"], ["moe.gov.sg"]),
        ("mode=refused", ["litemail.gov.sg"], ["moe.gov.sg"]),
        ("mode=nonsense", ["litemail.gov.sg", "moe.gov.sg"], []),
        ("after=mom.gov.sg", ["nea.gov.sg", "Back to the first page"], ["mom.gov.sg", "cpf.gov.sg"]),
    ],
)
def test_filters_stand_in_the_address_and_answer_alone(client, admin, query, found, not_found):
    for answer in (client.get(f"/admin/agencies?{query}"), client.htmx("GET", f"/admin/agencies?{query}")):
        assert all(words in answer.text for words in found)
        assert not [words for words in not_found if words in answer.text]
    assert answer.text.lstrip().startswith('<div id="agency-list">')


def test_the_list_goes_on_by_key(client, admin, monkeypatch):
    monkeypatch.setattr(agencies, "PAGE", 15)
    page = client.get("/admin/agencies?mode=open").text
    assert "Next page" not in page
    page = client.get("/admin/agencies?q=gov").text
    assert "q=gov&amp;after=mom.gov.sg" in page
    assert "nea.gov.sg" not in page
    page = client.get("/admin/agencies?q=gov&after=mom.gov.sg").text
    assert "5 agencies shown" in " ".join(page.split())
    assert "ura.gov.sg" in page


def test_unknown_agencies_are_offered_to_add_those_tried_most_first(client, admin, knocking, monkeypatch):
    page = client.get("/admin/agencies").text
    assert page.index("hsa.gov.sg") < page.index("sla.gov.sg")
    assert "/admin/agencies/new?domain=hsa.gov.sg" in page
    assert 'value="hsa.gov.sg"' in client.get("/admin/agencies/new?domain=hsa.gov.sg").text
    monkeypatch.setattr(agencies, "MOST_UNKNOWN", 1)
    page = client.get("/admin/agencies").text
    assert "sla.gov.sg" not in page
    assert "tried most are shown" in page


@STYLES
def test_an_unknown_agency_is_dismissed(client, admin, knocking, htmx):
    client.get("/admin/agencies")
    answer = client.submit("/admin/agencies/unknown/dismiss", htmx=htmx, domain="hsa.gov.sg")
    text = answer.text if htmx else follow(client, answer)
    assert "hsa.gov.sg is dismissed" in text
    assert db.session.scalars(select(UnknownAgency.domain)).all() == ["sla.gov.sg"]
    answer = client.submit("/admin/agencies/unknown/dismiss", htmx=htmx, domain="hsa.gov.sg")
    assert "It was dismissed already" in (answer.text if htmx else follow(client, answer))
    answer = client.submit("/admin/agencies/unknown/dismiss", htmx=htmx, domain=" ")
    assert "Nothing was dismissed: no mail domain was named." in (answer.text if htmx else follow(client, answer))
    assert recorded() == ["agency.dismissed"]


@STYLES
def test_an_agency_is_added_once_it_is_said_what_that_means(client, admin, knocking, htmx):
    client.get("/admin/agencies/new")
    answer = client.submit("/admin/agencies/new", htmx=htmx, **HSA)
    text = " ".join(answer.text.split())
    assert answer.status_code == 200
    for words in ("Officers with an address at hsa.gov.sg can sign up.", "3 tries to sign up there", "Add this agency"):
        assert words in text
    assert recorded() == []
    answer = client.submit("/admin/agencies/new", htmx=htmx, **HSA, confirmed="yes")
    assert answer.status_code == (204 if htmx else 303)
    assert "is added. Sign-up pages go by it within 5 seconds." in follow(client, answer)
    assert agency("hsa.gov.sg").seed_eligible
    assert recorded() == ["agency.added"]


@STYLES
def test_what_is_wrong_with_a_new_agency_is_told_all_at_once(client, admin, htmx):
    client.get("/admin/agencies/new")
    answer = client.submit("/admin/agencies/new", htmx=htmx, domain="hsa.com", name="", confirmed="yes")
    assert answer.status_code == 422
    for words in ("must end with .gov.sg", "Enter the agency’s name", "Choose who can sign up", 'value="hsa.com"'):
        assert words in answer.text
    assert "Enter the reason" not in answer.text
    answer = client.submit("/admin/agencies/new", htmx=htmx, **MOE, confirmed="yes")
    assert "There is an agency with this mail domain already" in answer.text
    assert recorded() == []


@STYLES
def test_a_change_is_made_once_it_is_said_what_follows(client, make, admin, htmx):
    make.request("a@moe.gov.sg")
    client.get(page_of())
    given = MOE | {"mode": "refused", "reason": "Use name@schools.gov.sg", "version": version()}
    answer = client.submit(page_of(), htmx=htmx, **given)
    text = " ".join(answer.text.split())
    for words in ("What this changes", "Refused", "instead of Open", "1 open request is still yours to decide."):
        assert words in text
    assert recorded() == []
    answer = client.submit(page_of(), htmx=htmx, **given, back="yes")
    assert 'value="Use name@schools.gov.sg"' in answer.text
    answer = client.submit(page_of(), htmx=htmx, **given, confirmed="yes")
    assert "Ministry of Education is changed" in follow(client, answer)
    assert agency().mode == "refused"
    assert recorded() == ["agency.changed"]
    client.submit(page_of(), htmx=htmx, **given, confirmed="yes")
    assert recorded() == ["agency.changed"], "pressed twice"


@pytest.mark.parametrize("adding", [False, True], ids=["change", "add"])
def test_back_leads_from_what_follows_to_the_form_as_typed(client, admin, adding):
    page = "/admin/agencies/new" if adding else page_of()
    client.get(page)
    given = {"name": "Learning & “more”", "mode": "refused", "reason": "Why?", "domain": "more.gov.sg"}
    given |= {"version": "" if adding else version(), "vendors_allowed": "y"}
    answer = client.submit(page, htmx=True, **given)
    address = answer.headers["HX-Replace-Url"]
    assert address.startswith(f"{page}?")
    assert unescape(answer.text).count(f'hx-get="{address}"') == 1
    form = unescape(client.get(address).text)
    for value in ("Learning & “more”", "Why?", "more.gov.sg", given["version"]):
        assert f'value="{value}"' in form
    ticked = [each for each in re.findall(r"<input[^>]*>", form) if " checked" in each]
    assert [re.findall(r'name="(\w+)"', each) for each in ticked] == [["mode"], ["vendors_allowed"]]
    assert 'value="refused"' in ticked[0]
    assert recorded() == []
    long = client.submit(page, htmx=True, **given | {"name": "校" * 120, "reason": "校" * 300})
    assert long.status_code == 200
    assert "HX-Replace-Url" not in long.headers, "no server takes an address as long as that"


@STYLES
def test_no_change_says_so(client, admin, htmx):
    client.get(page_of())
    answer = client.submit(page_of(), htmx=htmx, **MOE, version=version())
    assert "Nothing changes" in answer.text
    assert "Change this agency" not in answer.text
    answer = client.submit(page_of(), htmx=htmx, **MOE, version=version(), confirmed="yes")
    assert "Nothing was changed" in follow(client, answer)
    assert recorded() == []


@STYLES
@pytest.mark.parametrize("confirmed", [None, "yes"])
def test_what_somebody_else_changed_meanwhile_is_told(client, admin, htmx, confirmed):
    client.get(page_of())
    seen = version()
    db.session.query(Agency).filter_by(domain="moe.gov.sg").update({"seed_eligible": False})
    db.session.commit()
    given = MOE | {"name": "Education"}
    answer = client.submit(page_of(), htmx=htmx, **given, version=seen, confirmed=confirmed)
    text = " ".join(answer.text.split())
    assert answer.status_code == 422
    assert "Somebody else changed this agency meanwhile" in text
    assert "SEED: Not offered (your form: Offered)" in text
    assert 'value="Education"' in text
    assert f'value="{version()}"' in text
    assert recorded() == []
    client.submit(page_of(), htmx=htmx, **given, version=version(), confirmed="yes")
    assert recorded() == ["agency.changed"]


def test_nobody_has_their_own_request_approved_by_a_change(client, make, admin, now):
    request = make.request("a@moe.gov.sg")
    db.session.query(Account).filter_by(id=admin.id).update({"agency_id": agency().id})
    request.account_id = admin.id
    db.session.commit()
    client.get(page_of())
    answer = client.submit(page_of(), **MOE, approves_automatically="y", version=version(), confirmed="yes")
    assert answer.status_code == 422
    assert "Another admin must do this" in answer.text
    answer = client.submit("/admin/agencies/import", text=LINES.replace("only;;yes;no", "only;;yes;yes"))
    mark = answer.text.split('name="version" value="')[1].partition('"')[0]
    text = LINES.replace("only;;yes;no", "only;;yes;yes")
    answer = client.submit("/admin/agencies/import", text=text, version=mark, confirmed="yes")
    assert "Another admin must do this" in answer.text
    assert recorded() == []


def test_the_domain_is_fixed_once_there_are_accounts(client, make, admin):
    assert "Delete this agency" in client.get(page_of()).text
    make.account(email="a@moe.gov.sg")
    page = client.get(page_of()).text
    assert "Fixed, as people have accounts there" in page
    assert "Delete this agency" not in page
    given = MOE | {"domain": "education.gov.sg", "version": version()}
    for confirmed in (None, "yes"):
        answer = client.submit(page_of(), **given, confirmed=confirmed)
        assert answer.status_code == 422
        assert "its mail domain is fixed" in answer.text
    assert recorded() == []


def test_an_agency_without_accounts_is_deleted(client, make, admin):
    page = client.get(page_of()).text
    assert f"{page_of()}/delete" in page
    address = f"{page_of()}/delete"
    assert "Delete Ministry of Education?" in client.get(address).text
    answer = client.submit(address)
    assert "moe.gov.sg is deleted" in follow(client, answer)
    assert agency() is None
    assert client.submit(address).status_code == 404
    make.account(email="a@mom.gov.sg")
    address = f"{page_of('mom.gov.sg')}/delete"
    assert "Nothing was deleted" in follow(client, client.get(address))
    assert "Nothing was deleted" in follow(client, client.submit(address))
    assert recorded() == ["agency.removed"]


@STYLES
@pytest.mark.parametrize("uploaded", [False, True], ids=["pasted", "uploaded"])
def test_a_file_is_imported_once_each_line_was_shown(client, admin, htmx, uploaded):
    client.get("/admin/agencies/import")
    if uploaded:
        data = {"csrf_token": client.csrf_token(), "file": (io.BytesIO(b"\xef\xbb\xbf" + LINES.encode()), "a.csv")}
        headers = {"HX-Request": "true"} if htmx else {}
        answer = client.post("/admin/agencies/import", data=data, headers=headers)
    else:
        answer = client.submit("/admin/agencies/import", htmx=htmx, text=LINES)
    text = " ".join(answer.text.split())
    for words in ("1 new, 1 changed, 0 unchanged, 0 wrong.", "Invitation only", "instead of Open", "Import 2 agencies"):
        assert words in text
    assert recorded() == []
    mark = text.split('name="version" value="')[1].partition('"')[0]
    answer = client.submit("/admin/agencies/import", htmx=htmx, text=LINES, version=mark, confirmed="yes")
    assert "2 agencies imported" in follow(client, answer)
    assert recorded() == ["agency.added", "agency.changed"]
    answer = client.submit("/admin/agencies/import", htmx=htmx, text=LINES, version=mark, confirmed="yes")
    assert answer.status_code == 422
    assert "Nothing was imported" in answer.text
    assert "Nothing changes" in answer.text
    assert len(recorded()) == 2


def upload(client, content=b"", htmx=False, **fields):
    """A file is chosen beside what is typed."""
    data = {"csrf_token": client.csrf_token(), "file": (io.BytesIO(content), "a.csv")} | fields
    return client.post("/admin/agencies/import", data=data, headers={"HX-Request": "true"} if htmx else {})


AGAIN = "Choose the file again: browsers do not keep it"


@STYLES
@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        (b"\xff\xfe", {}, "The file is not in UTF-8. Save it as “CSV UTF-8” and choose it again"),
        (b"x" * 210_000, {}, "The file is larger than 200 KB, the most that is taken at once"),
        (b"name,mode\n", {}, "The first line must name the columns"),
        (b"", {}, "The file is empty"),
        (LINES.encode(), {"text": "a pasted line"}, "You gave a file and lines."),
        (LINES.encode(), {"csrf_token": "rubbish"}, AGAIN),
    ],
)
def test_what_is_wrong_with_a_file_is_told_beside_it(client, admin, htmx, content, fields, words):
    client.get("/admin/agencies/import")
    answer = upload(client, content, htmx, **fields)
    assert answer.status_code == 422
    beside = answer.text.partition('id="file-error"')[2].partition("</p>")[0]
    assert words in beside
    assert answer.text.count(AGAIN) == (2 if words == AGAIN else 1), "as an error it is in the summary too"
    assert "Your answers are kept" not in answer.text
    typed = answer.text.partition("<textarea")[2].partition("</textarea>")[0].partition(">")[2].strip()
    assert typed == fields.get("text", ""), "the file's lines are nothing that was typed"
    assert recorded() == []


@STYLES
def test_from_what_a_file_does_one_goes_back_to_choose_another(client, admin, htmx):
    client.get("/admin/agencies/import")
    shown = upload(client, LINES.replace("moe.gov.sg", "moe.com").encode(), htmx).text
    assert "mend the file, and choose it again" in " ".join(shown.split())
    carried = {"from_file": "yes", "text": LINES.replace("moe.gov.sg", "moe.com")}
    assert 'name="from_file" value="yes"' in shown
    back = client.submit("/admin/agencies/import", htmx=htmx, back="yes", **carried)
    assert back.status_code == 200
    assert AGAIN in back.text
    assert "moe.com" not in back.text
    assert "from_file" not in back.text
    refused = client.submit("/admin/agencies/import", htmx=htmx, confirmed="yes", **carried)
    assert refused.status_code == 422
    assert AGAIN in refused.text
    pasted = client.submit("/admin/agencies/import", htmx=htmx, text=carried["text"]).text
    assert "mend the lines, and submit them again" in " ".join(pasted.split())
    back = client.submit("/admin/agencies/import", htmx=htmx, back="yes", text=carried["text"]).text
    assert "moe.com" in back, "what was pasted is mended where it was"
    assert AGAIN not in back


@STYLES
def test_a_file_with_something_wrong_is_not_imported(client, admin, htmx):
    client.get("/admin/agencies/import")
    text = LINES.replace("moe.gov.sg", "moe.com")
    answer = client.submit("/admin/agencies/import", htmx=htmx, text=text)
    assert "must end with .gov.sg" in answer.text
    assert "Nothing is imported while something is wrong" in answer.text
    assert "Import 1" not in answer.text
    answer = client.submit("/admin/agencies/import", htmx=htmx, text=text, confirmed="yes")
    assert answer.status_code == 422
    answer = client.submit("/admin/agencies/import", htmx=htmx, text="")
    assert "Choose a CSV file, or paste its lines" in answer.text
    assert recorded() == []


def test_as_much_is_taken_as_is_promised_and_no_more(client, admin):
    client.get("/admin/agencies/import")
    name = "Agency " + "x" * 110
    reason = "y" * 250
    rows = "".join(f"a{number}.gov.sg;{name};refused;{reason};yes;no;no\n" for number in range(480))
    data = {"csrf_token": client.csrf_token(), "text": f"{HEADER}\n{rows}"}
    assert 180_000 < len(data["text"]) < 200 * 1024
    answer = client.post("/admin/agencies/import", data=data, content_type="multipart/form-data")
    assert "480 new" in answer.text
    data["text"] += rows[:20_000]
    answer = client.post("/admin/agencies/import", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "larger than 200 KB" in answer.text
    answer = client.post("/admin/agencies/new", data=data, content_type="multipart/form-data")
    assert answer.status_code == 413


def test_what_was_exported_changes_nothing(client, admin):
    answer = client.get("/admin/agencies.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    client.get("/admin/agencies/import")
    page = client.submit("/admin/agencies/import", text=answer.text).text
    assert "0 new, 0 changed, 20 unchanged," in " ".join(page.split())


def test_auditors_see_agencies_and_change_none(client, auditor, knocking):
    page = client.get("/admin/agencies").text
    assert "hsa.gov.sg" in page
    assert not [words for words in ("/new", "/import", "dismiss") if words in page]
    assert client.get("/admin/agencies.csv").status_code == 200
    page = client.get(page_of()).text
    assert "agency-form" not in page
    assert "Ministry of Education" in page
    assert client.get("/admin/agencies/new").status_code == 404
    assert client.get("/admin/agencies/import").status_code == 404
    assert client.get(f"{page_of()}/delete").status_code == 404
