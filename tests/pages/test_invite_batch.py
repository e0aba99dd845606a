"""Asking for many: upload, the rows to be mended, sending, the result (rule 5.2; B2 to B5)."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import timedelta

import pytest
from openpyxl import Workbook, load_workbook
from sqlalchemy import func, select, update

from webapp import tables
from webapp.domain.lifecycle import AccountStatus
from webapp.extensions import db
from webapp.models import Account, Batch, BatchRow, BatchState, Mail
from webapp.services import batch, batch_sending, inviting, purge

STYLES = pytest.mark.parametrize("htmx", [False, True], ids=["page", "fragment"])
HEAD = "email,seed,first_name,last_name,organisation,agency,reason"
LINES = [
    "a@tech.gov.sg,yes,,,,,New here",
    "mei@vendor.example.com,no,Mei,Tan,Vendor,tech.gov.sg,Website",
    "b@tech.gvo.sg,no,,,,,New here",
    "a@tech.gov.sg,no,,,,,New here",
    "c@gmail.com,no,,,,,New here",
    "d@tech.gov.sg,perhaps,,,,,New here",
]
READY = 2


@pytest.fixture
def inviter(client, make):
    account = make.account(email="inviter@tech.gov.sg")
    make.sign_in(client, account)
    return account


def read(text) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.replace("<wbr>", "")))


def workbook(*rows) -> bytes:
    book, out = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    book.save(out)
    return out.getvalue()


def upload_file(client, content, name="people.xlsx", **fields):
    client.get("/invite/batch")
    data = {"csrf_token": client.csrf_token(), "file": (io.BytesIO(content), name), **fields}
    return client.post("/invite/batch", data=data, content_type="multipart/form-data")


def upload(client, *lines, htmx=False, **fields):
    client.get("/invite/batch")
    given = {"text": "\n".join([HEAD, *lines])} if lines else {}
    return client.submit("/invite/batch", htmx=htmx, **(given | fields))


def where(answer) -> str:
    return answer.headers.get("HX-Redirect") or answer.location


@pytest.fixture
def draft(client, inviter):
    """The address of a draft of `LINES`."""
    return where(upload(client, *LINES))


def rows():
    db.session.rollback()
    newest = select(func.max(BatchRow.batch_id)).scalar_subquery()
    query = select(BatchRow).where(BatchRow.batch_id == newest).order_by(BatchRow.number)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def verdicts():
    return {row.number: str(row.verdict) for row in rows()}


def counted(table):
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


def work(now, policy):
    db.session.rollback()
    turns = iter(range(100))
    return batch_sending.send_some(now, policy, lambda: next(turns, None) is not None)


@STYLES
def test_what_is_pasted_becomes_a_draft_with_its_verdicts(client, inviter, htmx):
    answer = upload(client, *LINES, htmx=htmx)
    page = client.get(where(answer)).text
    said = read(page)
    assert "2 of 6 rows are ready" in said
    assert "Send 2 invitations" in said
    assert "Did you mean b@tech.gov.sg?" in said
    assert "The same address stands in row 2" in said
    assert "Personal email addresses cannot be invited" in said
    assert verdicts() == {2: "ready", 3: "ready", 4: "malformed", 5: "twice", 6: "not_allowed", 7: "malformed"}
    assert counted(Mail) == 0
    # What needs something first is shown first; the rest by filters in the address.
    assert "mei@vendor" not in page.replace("<wbr>", "")
    everything = client.get(f"{where(answer)}?show=all").text.replace("<wbr>", "")
    assert "mei@vendor.example.com" in everything
    assert client.get(f"{where(answer)}?show=twice").text.count('id="row-') == 1


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_template_is_taken_as_it_is(client, inviter, form):
    template = client.get(f"/invite/batch/template.{form}").data
    answer = upload_file(client, template, f"people.{form}")
    page = client.get(f"{where(answer)}?show=all")
    assert f"people.{form}" in page.text
    assert "0 of 2 rows are ready" in read(page.text)
    assert [(row.words, row.suggestion) for row in rows()] == [("This is an example of the template", "")] * 2
    assert set(verdicts().values()) == {"not_allowed"}


@STYLES
def test_a_nul_in_the_list_is_taken_for_a_space(client, inviter, htmx):
    upload(client, text="email,seed,reason\na@tech.gov.sg,no,New\0here", htmx=htmx)
    assert [(row.reason, str(row.verdict)) for row in rows()] == [("New here", "ready")]
    refused = upload(client, text="name,reason\nMei,New\0here", htmx=htmx)
    assert refused.status_code == 422
    assert "Mei,New here" in refused.text
    assert upload(client, text="a@tech.gov.sg", reason="\0", htmx=htmx).status_code == 400


def test_columns_without_a_name_are_left_out(client, inviter):
    upload(client, text="email,,seed,,reason\na@tech.gov.sg,note,no,note,New here\n")
    assert [(row.email, row.seed, row.reason, str(row.verdict)) for row in rows()] == [
        ("a@tech.gov.sg", "no", "New here", "ready")
    ]


def test_addresses_alone_take_what_holds_for_all(client, inviter):
    text = "Peter Tan <peter@tech.gov.sg>; mei@tech.gov.sg,\nb@moe.gov.sg"
    upload(client, text=text, seed="no", reason="New in the team")
    assert [(row.email, row.seed, row.reason, str(row.verdict)) for row in rows()] == [
        ("peter@tech.gov.sg", "no", "New in the team", "ready"),
        ("mei@tech.gov.sg", "no", "New in the team", "ready"),
        ("b@moe.gov.sg", "no", "New in the team", "ready"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Tan Mei Ling (TECH); Lim Ah Kow <lim@tech.gov.sg>; b@tech.gov.sg",
            ["Tan Mei Ling (TECH", "lim@tech.gov.sg", "b@tech.gov.sg"],
        ),
        ("Mei Tan\tmei@tech.gov.sg\nPeter\tp@tech.gov.sg", ["Mei Tan", "mei@tech.gov.sg", "Peter", "p@tech.gov.sg"]),
        ("To: mei@tech.gov.sg; p@tech.gov.sg", ["To:", "mei@tech.gov.sg", "p@tech.gov.sg"]),
        ("Our team\nmei@tech.gov.sg\np@tech.gov.sg", ["Our team", "mei@tech.gov.sg", "p@tech.gov.sg"]),
    ],
)
def test_what_stands_before_the_first_address_is_a_row_to_mend(client, inviter, text, found):
    upload(client, text=text, seed="no", reason="New in the team")
    assert [row.email for row in rows()] == found
    assert list(verdicts().values()) == ["ready" if "@" in each else "malformed" for each in found]


@STYLES
def test_an_address_with_something_around_it_is_suggested(client, inviter, htmx):
    meant = [f"a{number}@tech.gov.sg" for number in range(1, 4)]
    lines = (f"Mei Tan <{meant[0]}>,no,,,,,New", f'"{meant[1]},",no,,,,,New', "a3@tech.gvo.sg.,no,,,,,New")
    upload(client, *lines, htmx=htmx)
    assert [row.suggestion for row in rows()] == meant
    page = client.get("/invite/batch/1").text
    assert "Enter an email address in the format name@agency.gov.sg. Did you mean a1@tech.gov.sg?" in read(page)


@pytest.mark.parametrize("form", ["paste", "csv", "xlsx"])
def test_a_line_of_hundreds_of_addresses_is_a_row_for_each(client, inviter, form):
    people = [f"Lim, Mei {number} <a{number}@tech.gov.sg>" for number in range(300)]
    fields = {"seed": "no", "reason": "New in the team"}
    if form == "paste":
        upload(client, text="; ".join(people), **fields)
    elif form == "csv":
        upload_file(client, "; ".join(people).encode(), "people.csv", **fields)
    else:
        upload_file(
            client, workbook(*(["; ".join(people[start : start + 20])] for start in range(0, 300, 20))), **fields
        )
    assert [row.email for row in rows()] == [f"a{number}@tech.gov.sg" for number in range(300)]
    assert set(verdicts().values()) == {"ready"}


@pytest.mark.parametrize(
    "sheets",
    [
        [["How to fill this in"], ["E-mail address", "seed", "reason"], ["a@tech.gov.sg", "no", "New"]],
        [["How to fill this in"], ["Mei <a@tech.gov.sg>"]],
        # What was the list without names of columns stays it, whatever comes behind.
        [["a@tech.gov.sg"], ["email"], ["b@tech.gov.sg"]],
    ],
)
def test_a_sheet_of_instructions_is_not_what_is_read(client, inviter, sheets):
    made = Workbook()
    made.remove(made.worksheets[0])
    for number, row in enumerate(sheets):
        # The first one stands on a sheet of its own.
        sheet = made.create_sheet() if number < 2 else made.worksheets[-1]
        sheet.append(row)
    out = io.BytesIO()
    made.save(out)
    upload_file(client, out.getvalue(), seed="no", reason="New")
    assert [(row.email, str(row.verdict)) for row in rows()] == [("a@tech.gov.sg", "ready")]


def test_a_cell_of_addresses_is_not_cut(client, inviter):
    answer = upload_file(client, workbook(["; ".join(f"a{number}@tech.gov.sg" for number in range(100))]))
    assert answer.status_code == 422
    assert "A cell in row 1 is too long" in read(answer.text)


REFUSED = [
    ("", "There is nothing in it"),
    ("name,seed\nPeter,yes", "The first row must name the columns"),
    ("\nOur new team,\nemail,seed\na@tech.gov.sg,yes", "Row 2 was read, which begins with “Our new team”"),
    ("email,colour\na@tech.gov.sg,red", "“colour” is not known"),
    ("email,email\na@tech.gov.sg,b", "One is named twice"),
    ("email,reason,,E-mail\na@tech.gov.sg,b", "One is named twice"),
    ("email\n" + "a@tech.gov.sg\n" * 10_001, "more than 10,000 rows"),
    ("email,seed,reason", "no rows below the names of the columns"),
    ("email,reason\na@tech.gov.sg,New, and here\nb@tech.gov.sg,New", "more cells than the first one: 2. Put"),
    ("email,reason\n" + "a@tech.gov.sg,New,x\n" * 7, "more cells than the first one: 2, 3, 4, 5, 6 and 2 more. Put"),
]


@STYLES
@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_no_list_is_refused_with_words(client, inviter, text, words, htmx):
    client.get("/invite/batch")
    answer = client.submit("/invite/batch", htmx=htmx, text=text)
    assert answer.status_code == 422
    assert words in read(answer.text)
    assert counted(Batch) == 0


def test_a_file_that_is_too_large_is_refused(client, inviter):
    client.get("/invite/batch")
    for size, status in ((tables.MOST_BYTES + 1, 422), (tables.MOST_BYTES + 100_000, 413)):
        file = (io.BytesIO(b"a" * size), "people.csv")
        data = {"csrf_token": "x" if status == 413 else client.csrf_token(), "file": file}
        answer = client.post("/invite/batch", data=data, content_type="multipart/form-data")
        assert answer.status_code == status
        assert ("larger than 4 MB" if status == 422 else "At most 4 MB are taken at once.") in read(answer.text)
    assert counted(Batch) == 0


def errors(page) -> dict[str, str]:
    """What is told beside each field."""
    return {name: read(words).strip() for name, words in re.findall(r'id="(\w+)-error">(.*?)</p>', page, re.DOTALL)}


@STYLES
@pytest.mark.parametrize(
    ("content", "fields", "told"),
    [
        (b"name,seed\nPeter,yes", {}, {"file": "The first row must name the columns"}),
        (b"email\na@tech.gov.sg", {"text": "b@tech.gov.sg"}, {"file": "You gave a file and a list"}),
        (
            b"email\na@tech.gov.sg",
            {"reason": "x" * 301},
            {"file": "Choose the file again", "reason": "The reason must have"},
        ),
        (b"email\na@tech.gov.sg", {"csrf_token": "old", "text": " "}, {"file": "Choose the file again"}),
    ],
)
def test_what_is_wrong_with_a_file_is_told_beside_it(client, inviter, content, fields, told, htmx):
    client.get("/invite/batch")
    data = {"csrf_token": client.csrf_token(), "file": (io.BytesIO(content), "people.csv"), **fields}
    ask = client.htmx if htmx else lambda method, address, **kwargs: client.post(address, **kwargs)
    answer = ask("POST", "/invite/batch", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    found = errors(answer.text)
    assert set(found) == set(told)
    for name, words in told.items():
        assert words in found[name]
    assert 'href="#file"' in answer.text
    assert ("b@tech.gov.sg" in answer.text) == ("b@" in fields.get("text", ""))
    assert "answers are kept" not in answer.text
    assert counted(Batch) == 0


def test_five_drafts_are_kept_at_most(client, inviter):
    for number in range(batch.MOST_DRAFTS):
        assert upload(client, f"a{number}@tech.gov.sg,no,,,,,x").status_code == 303
    answer = upload(client, "z@tech.gov.sg,no,,,,,x")
    assert answer.status_code == 422
    assert "5 batches that are not sent" in read(answer.text)


@STYLES
def test_a_row_is_mended_in_its_place(client, draft, htmx):
    client.get(draft)
    form = client.htmx("GET", f"{draft}/rows/7/edit") if htmx else client.get(f"{draft}/rows/7/edit")
    assert 'value="perhaps"' in form.text
    fields = {"email": "d@tech.gov.sg", "seed": "no", "reason": "New here"}
    answer = client.submit(f"{draft}/rows/7", htmx=htmx, **fields)
    shown = answer if htmx else client.get(f"{answer.location}?show=all")
    assert "d@tech.gov.sg" in shown.text.replace("<wbr>", "")
    assert ("HX-Trigger" in answer.headers) is htmx
    summary = client.htmx("GET", f"{draft}?part=summary&show=malformed").text if htmx else shown.text
    assert "3 of 6 rows are ready" in read(summary)
    assert "Malformed (1)" in read(summary)
    assert re.findall(r'show=(\w+)" aria-current', summary) == (["malformed"] if htmx else ["all"])
    assert verdicts()[7] == "ready"


@STYLES
def test_the_address_that_was_meant_is_one_press_away(client, draft, htmx):
    client.get(draft)
    assert 'name="use" value="b@tech.gov.sg"' in client.get(draft).text
    for _ in range(2):  # Pressed twice it is one change.
        answer = client.submit(f"{draft}/rows/4", htmx=htmx, use="b@tech.gov.sg")
        assert answer.status_code == (200 if htmx else 303)
        shown = answer if htmx else client.get(answer.location)
        assert "Nothing was changed" not in shown.text
        assert (rows()[2].email, rows()[2].seed, rows()[2].reason) == ("b@tech.gov.sg", "no", "New here")
        assert verdicts()[4] == "ready"


@STYLES
def test_an_address_that_is_not_suggested_any_more_is_not_taken(client, draft, htmx):
    client.get(draft)
    client.submit(f"{draft}/rows/4", email="x@moe.gvo.sg", seed="yes", reason="Mended elsewhere")
    client.get(draft)
    answer = client.submit(f"{draft}/rows/4?show=all", htmx=htmx, use="b@tech.gov.sg")
    shown = client.get(where(answer))
    assert "Nothing was changed: b@tech.gov.sg is not suggested for row 4 any more." in read(shown.text)
    assert 'id="row-2"' in shown.text
    assert (rows()[2].email, rows()[2].seed, rows()[2].reason) == ("x@moe.gvo.sg", "yes", "Mended elsewhere")


@STYLES
def test_a_page_that_was_open_for_too_long_empties_no_row(client, draft, htmx):
    client.get(draft)
    answer = client.submit(f"{draft}/rows/4", htmx=htmx, use="b@tech.gov.sg", csrf_token="old")
    assert answer.status_code == 422
    assert "open for too long" in answer.text
    assert 'value="b@tech.gvo.sg"' in answer.text
    assert 'value="New here"' in answer.text


@STYLES
def test_a_row_that_was_removed_elsewhere_is_told_on_the_list(client, draft, htmx):
    client.get(f"{draft}/rows/2/edit")
    client.submit(f"{draft}/rows/2/remove")

    def told(answer):
        shown = client.get(where(answer)).text
        assert "Nothing was changed: row 2 was removed meanwhile." in read(shown)
        assert 'id="row-4"' in shown

    for address in (f"{draft}/rows/2/edit", f"{draft}/rows/2"):
        told(client.htmx("GET", address) if htmx else client.get(address))
    told(client.submit(f"{draft}/rows/2", htmx=htmx, email="z@tech.gov.sg", seed="no", reason="x"))
    told(client.submit(f"{draft}/rows/2", htmx=htmx, use="z@tech.gov.sg"))
    told(client.submit(f"{draft}/rows/2/remove", htmx=htmx))
    assert len(rows()) == 5


def test_rows_that_are_open_at_once_have_ids_of_their_own(client, draft):
    client.get(draft)
    forms = [client.htmx("GET", f"{draft}/rows/{number}/edit").text for number in (4, 5)]
    forms += [client.submit(f"{draft}/rows/{number}", htmx=True, csrf_token="old").text for number in (6, 7)]
    ids = [found for form in forms for found in re.findall(r' id="([^"]+)"', form)]
    assert len(ids) > 4 * 8
    assert len(ids) == len(set(ids))
    for form in forms:
        assert set(re.findall(r' for="([^"]+)"', form)) < set(re.findall(r' id="([^"]+)"', form))


def test_a_row_that_is_open_for_change_is_left_alone_by_the_others(client, draft):
    client.get(draft)
    opened = client.htmx("GET", f"{draft}/rows/5/edit").text
    client.get(draft)
    beside = re.findall(r' id="([^"]+)" hx-swap-oob', client.submit(f"{draft}/rows/2/remove", htmx=True).text)
    assert beside == ["row-5"]
    assert "row-5" not in re.findall(r' id="([^"]+)"', opened)


@STYLES
def test_two_windows_change_a_row_and_neither_undoes_the_other(client, draft, htmx):
    page = client.get(f"{draft}/rows/4/edit").text
    shown = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+_shown)"[^>]* value="([^"]*)"', page)}
    assert (shown["email_shown"], shown["reason_shown"]) == ("b@tech.gvo.sg", "New here")
    fields = {name.removesuffix("_shown"): value for name, value in shown.items()}
    client.submit(f"{draft}/rows/4", htmx=htmx, **(shown | fields | {"reason": "Mended in one"}))
    client.get(draft)
    late = client.submit(
        f"{draft}/rows/4", htmx=htmx, csrf_token="old", **(shown | fields | {"email": "b@tech.gov.sg"})
    )
    assert 'name="reason_shown" type="hidden" value="New here"' in late.text
    client.submit(f"{draft}/rows/4", htmx=htmx, **(shown | fields | {"email": "b@tech.gov.sg"}))
    row = rows()[2]
    assert (row.email, row.seed, row.reason, row.verdict) == ("b@tech.gov.sg", "no", "Mended in one", "ready")


@STYLES
def test_all_addresses_that_were_meant_are_one_press_away(client, inviter, htmx):
    lines = [f"a{number}@tech.gvo.sg,no,,,,,New here" for number in range(3)]
    draft = where(upload(client, *lines, lines[0], "b@tech.gov.sg,no,,,,,New here"))
    assert "Use all 3 suggested addresses" in read(client.get(draft).text)
    answer = client.submit(f"{draft}/suggestions", htmx=htmx)
    shown = read(client.get(where(answer)).text)
    assert "4 rows are changed." in shown
    assert "suggested addresses" not in shown
    assert [row.email for row in rows()] == [*(f"a{number}@tech.gov.sg" for number in (0, 1, 2, 0)), "b@tech.gov.sg"]
    assert verdicts() == {2: "ready", 3: "ready", 4: "ready", 5: "twice", 6: "ready"}


@STYLES
def test_a_row_is_removed_and_the_one_that_said_twice_is_judged_anew(client, draft, htmx):
    client.get(draft)
    answer = client.submit(f"{draft}/rows/2/remove", htmx=htmx)
    shown = answer if htmx else client.get(answer.location)
    assert "Row 2 is removed." in read(shown.text)
    assert ('id="row-5" hx-swap-oob="true"' in answer.text) is htmx
    assert 'id="row-3" hx-swap-oob' not in answer.text
    assert verdicts() == {3: "ready", 4: "malformed", 5: "ready", 6: "not_allowed", 7: "malformed"}


@STYLES
def test_a_change_of_one_row_has_the_others_of_its_address_judged_anew(client, draft, htmx):
    client.get(draft)
    answer = client.submit(f"{draft}/rows/2", htmx=htmx, email="d@tech.gov.sg", seed="no", reason="x")
    if htmx:
        assert re.findall(r'<tr id="row-(\d)"( hx-swap-oob)?', answer.text) == [
            ("2", ""),
            ("5", " hx-swap-oob"),
            ("7", " hx-swap-oob"),
        ]
    assert verdicts() == {2: "ready", 3: "ready", 4: "malformed", 5: "ready", 6: "not_allowed", 7: "twice"}


@pytest.mark.parametrize("column", ["first_name", "organisation", "agency", "reason"])
def test_what_is_too_long_is_too_long_whenever_it_is_judged(client, inviter, column):
    cells = dict(zip(HEAD.split(","), LINES[1].split(","), strict=True)) | {column: "x" * 1500}
    draft = where(upload(client, ",".join(cells.values()), LINES[1]))
    assert verdicts() == {2: "malformed", 3: "twice"}
    client.get(draft)
    client.submit(f"{draft}/rows/3/remove")
    assert verdicts() == {2: "malformed"}
    client.get(f"{draft}/rows/2/edit")
    client.submit(f"{draft}/rows/2", **(cells | {column: "y" * 1500}))
    assert verdicts() == {2: "malformed"}
    client.get(f"{draft}/rows/2/edit")
    client.submit(f"{draft}/rows/2", **(cells | {column: "tech.gov.sg"}))
    assert verdicts() == {2: "ready"}


def test_no_field_cuts_what_is_pasted(client, draft):
    for address in ("/invite", "/invite/batch", f"{draft}/rows/2/edit"):
        assert "maxlength" not in client.get(address).text


@STYLES
def test_all_is_reset_after_a_confirmation(client, draft, htmx):
    assert "Reset all rows?" in client.get(f"{draft}/reset").text
    answer = client.submit(f"{draft}/reset", htmx=htmx)
    assert "The batch is reset" in client.get(where(answer)).text
    assert (counted(Batch), counted(BatchRow), counted(Mail)) == (0, 0, 0)


GONE = "This batch is no longer here."
NOT_SENT = "Nothing was changed or sent: this batch is no longer here."


@STYLES
def test_a_batch_that_was_reset_in_another_window_leads_to_the_list_of_batches(client, draft, htmx):
    client.get(draft)
    client.submit(f"{draft}/reset")
    for address in ("", "/rows/2", "/rows/2/edit", "/reset", "?shown=draft.0", "?show=all"):
        answer = client.htmx("GET", f"{draft}{address}") if htmx else client.get(f"{draft}{address}")
        assert where(answer) == "/invite/batch"
        assert GONE in read(client.get("/invite/batch").text)
    for address in ("/rows/2", "/rows/2/remove", "/suggestions", "/reset", "/send"):
        assert where(client.submit(f"{draft}{address}", htmx=htmx, email="z@tech.gov.sg")) == "/invite/batch"
        assert NOT_SENT in read(client.get("/invite/batch").text)
    assert client.get(f"{draft}/skipped.csv").status_code == 404


@STYLES
def test_it_is_sent_once_watched_and_told(client, draft, inviter, now, policy, htmx):
    for _ in range(2):
        client.get("/invite/batch")
        assert where(client.submit(f"{draft}/send", htmx=htmx)) == draft
    page = client.get(draft).text
    assert "0 of 6 rows done" in read(page)
    assert client.htmx("GET", f"{draft}?shown=sending.0").status_code == 204
    assert "0 of 6 rows done" in client.htmx("GET", f"{draft}?shown=sending.1").text
    assert work(now, policy) is False
    answer = client.htmx("GET", f"{draft}?shown=sending.0")
    assert answer.headers["HX-Redirect"] == draft
    said = read(client.get(f"{draft}?show=all").text)
    assert "2 sent, 4 skipped, 0 failed" in said
    assert counted(Account) == 1 + READY
    assert sorted(db.session.scalars(select(Mail.kind))) == ["asked_for", "vendor_registration"]
    assert work(now, policy) is False
    assert counted(Account) == 1 + READY


def test_a_draft_that_was_sent_is_none_any_more(client, draft, now, policy):
    client.get(draft)
    client.submit(f"{draft}/send")
    for address in (f"{draft}/rows/2", f"{draft}/rows/2/remove", f"{draft}/reset"):
        client.get("/invite/batch")
        answer = client.submit(address, email="z@tech.gov.sg", seed="no", reason="x")
        assert "not a draft any more" in client.get(where(answer)).text
    for address in (f"{draft}/rows/2", f"{draft}/rows/2/edit"):
        for ask in (client.get, lambda asked: client.htmx("GET", asked)):
            assert "not a draft any more" in client.get(where(ask(address))).text
    assert len(rows()) == 6


def test_the_same_list_again_sends_nothing(client, draft, make, now, policy):
    client.get(draft)
    client.submit(f"{draft}/send")
    work(now, policy)
    mails = counted(Mail)
    again = where(upload(client, *LINES))
    assert list(verdicts().values())[-6:] == ["invited", "invited", "malformed", "twice", "not_allowed", "malformed"]
    assert "Send " not in read(client.get(again).text).partition("Reset all")[0].partition("mailed yet")[2]
    client.submit(f"{again}/send")
    work(now, policy)
    assert counted(Mail) == mails
    assert "0 sent, 6 skipped" in read(client.get(again).text)


def test_whoever_is_there_at_another_agency_is_like_somebody_new(client, make, inviter, now, policy):
    for status in (AccountStatus.REQUESTED, AccountStatus.ACTIVE):
        make.account(status, f"{status}@moe.gov.sg")
        make.account(status, f"{status}@tech.gov.sg")
    address = where(
        upload(
            client,
            *(
                f"{name}@{agency}.gov.sg,no,,,,,x"
                for agency in ("moe", "tech")
                for name in ("requested", "active", "new")
            ),
        )
    )
    assert list(verdicts().values()) == ["ready", "ready", "ready", "invited", "invited", "ready"]
    client.get(address)
    client.submit(f"{address}/send")
    work(now, policy)
    assert [str(row.outcome) for row in rows()] == ["sent", "sent", "sent", "skipped", "skipped", "sent"]
    listed = read(client.htmx("GET", "/invite/sent").text)
    assert listed.count("Waits for an admin") == 4


def test_losing_the_account_ends_it_at_once(client, draft, inviter, now, policy, monkeypatch):
    monkeypatch.setattr(batch_sending, "CHUNK", 1)
    client.get(draft)
    client.submit(f"{draft}/send")
    db.session.rollback()
    turns = iter([True, True])
    assert batch_sending.send_some(now, policy, lambda: next(turns, False)) is True
    db.session.execute(update(Account).where(Account.id == inviter.id).values(status=AccountStatus.DISABLED))
    db.session.commit()
    assert work(now, policy) is False
    assert [str(row.outcome) for row in rows()] == ["sent", "sent", "failed", "failed", "failed", "failed"]
    assert rows()[-1].words == "You could not ask for others any more"
    assert db.session.scalars(select(Batch.state)).one() is BatchState.DONE


def test_one_row_that_cannot_be_done_does_not_stop_the_others(client, draft, now, policy, monkeypatch):
    client.get(draft)
    client.submit(f"{draft}/send")
    real = inviting.ask_for_each

    def breaks(people, *rest):
        if any(person.address.folded == "a@tech.gov.sg" for person in people):
            raise RuntimeError("a fault")
        return real(people, *rest)

    monkeypatch.setattr(batch_sending, "ask_for_each", breaks)
    assert work(now, policy) is False
    assert [str(row.outcome) for row in rows()] == ["failed", "sent", "skipped", "skipped", "skipped", "skipped"]
    assert "a fault" not in rows()[0].words


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_rows_that_were_not_sent_are_given_out_as_text(client, inviter, now, policy, form):
    address = where(upload(client, '"=HYPERLINK(""x"")@gmail.com",no,,,,,x', "a@gmail.com,no,,,,,+1 more"))
    client.get(address)
    client.submit(f"{address}/send")
    work(now, policy)
    answer = client.get(f"{address}/skipped.{form}")
    if form == "csv":
        lines = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert lines[0] == [*HEAD.split(","), "why"]
        assert lines[1][0].startswith("'=HYPERLINK")
        assert lines[2][6] == "'+1 more"
    else:
        sheet = load_workbook(io.BytesIO(answer.data))["People"]
        assert [cell.data_type for row in sheet.iter_rows() for cell in row if cell.value] == ["s"] * 8 + ["s"] * 8
    assert client.get(f"{address}/failed.{form}").status_code == 200
    assert client.get(f"{address}/sent.{form}").status_code == 404


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_rows_that_were_not_sent_are_taken_in_again_as_they_were(client, inviter, now, policy, form):
    lines = ['+65@tech.gov.sg,no,,,,,"=1+1, and more"', "a@gmail.com,no,-,,,,+1 more", "a@gmail.com,no,,,,,'tis so"]
    address = where(upload(client, *lines))
    given = [(row.email, row.first_name, row.reason, row.verdict) for row in rows()]
    client.get(address)
    client.submit(f"{address}/send")
    work(now, policy)
    answer = upload_file(client, client.get(f"{address}/skipped.{form}").data, f"skipped.{form}")
    assert answer.status_code == 303
    assert [(row.email, row.first_name, row.reason, row.verdict) for row in rows()] == given
    assert rows()[0].words == "There is a formula in the column reason. Put its result there as text"


def test_nobody_finds_anothers_batch(client, draft, make):
    make.sign_in(client, make.account())
    assert "Pasted list" not in client.get("/invite/batch").text
    for address in (draft, f"{draft}/rows/2", f"{draft}/rows/2/edit", f"{draft}/reset"):
        assert where(client.get(address)) == "/invite/batch"
        assert GONE in read(client.get("/invite/batch").text)
    for address in (f"{draft}/rows/2", f"{draft}/rows/2/remove", f"{draft}/reset", f"{draft}/send"):
        assert where(client.submit(address, email="z@tech.gov.sg")) == "/invite/batch"
        assert NOT_SENT in read(client.get("/invite/batch").text)
    assert client.get(f"{draft}/skipped.csv").status_code == 404
    assert verdicts()[2] == "ready"


def test_pages_of_rows_go_on_by_key(client, inviter, monkeypatch):
    monkeypatch.setattr(batch, "PAGE", 2)
    address = where(upload(client, *(f"a{number}@tech.gov.sg,no,,,,,x" for number in range(3))))
    page = client.get(address).text
    following = next(each for each in re.findall(r'href="([^"]+)"', page) if "after=" in each).replace("&amp;", "&")
    assert client.get(following).text.count('id="row-') == 1


def test_old_batches_are_forgotten(client, draft, now, policy):
    purge.tidy(now + timedelta(days=30) - timedelta(seconds=1))
    assert counted(Batch) == 1
    purge.tidy(now + timedelta(days=30))
    assert (counted(Batch), counted(BatchRow)) == (0, 0)
