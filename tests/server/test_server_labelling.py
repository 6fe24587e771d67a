"""Labelling over HTTP: forms that work without a script, the API, what a foreign page can do (nothing), and a real browser with its keys."""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from server_world import SCRIPT, serving

from everloop.server.app import create_app
from everloop.server.guards import HEADERS
from everloop.store import annotations, ledger
from everloop.store.workspace import Workspace
from labelling_world import queue_of, texts, turn

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, httpx.Client]]:
    with Workspace(tmp_path_factory.mktemp("project")) as opened, serving(create_app(opened)) as client:
        client.follow_redirects = True
        yield opened, client


@pytest.fixture
def workspace(served: tuple[Workspace, httpx.Client]) -> Workspace:
    with served[0].write() as tx:
        for table in ("queues", "queue_items", "queue_holds", "annotations", "decisions", "mentions"):
            tx.sql(f"DELETE FROM {table}")
    return served[0]


@pytest.fixture
def client(served: tuple[Workspace, httpx.Client]) -> httpx.Client:
    served[1].cookies.clear()
    return served[1]


def form(page: httpx.Response | str, id: str) -> dict[str, str]:
    """The hidden fields of one form of a page."""
    text = page if isinstance(page, str) else page.text
    found = re.search(rf'<form [^>]*id="{id}">(.*?)</form>', text, re.DOTALL)
    assert found is not None, f"no form {id!r} in {text[:2000]}"
    return {name: html.unescape(value) for name, value in HIDDEN.findall(found[1])}


def begin(client: httpx.Client, person: str = "ann", queue: str = "sms") -> httpx.Response:
    return client.post(f"/labelling/{queue}", data={"do": "next", "person": person})


def said(workspace: Workspace, queue: str = "sms") -> list[tuple[str, str, Any]]:
    with workspace.read() as tx:
        return [(one.person, one.action, one.value) for made in annotations.by_row(tx, queue).values() for one in made]


def png(width: int = 4) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((200, 80, 20)) * width for _ in range(width))
    header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_forms_alone_are_enough_to_label_skip_and_take_back(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3, instruction="Is it spam?")
    assert "<b>0</b> of 3 rows done" in client.get("/labelling/sms").text
    page = begin(client)
    assert page.url.path == "/labelling/sms"
    assert page.history[0].status_code == 303, "loading the page again sends nothing again"
    assert "Is it spam?" in page.text
    assert "message number 0" in page.text
    page = client.post("/labelling/sms", data={**form(page, "answer"), "value": "ham"})
    assert "<b>1</b> of 3 rows done" in page.text
    assert "message number 1" in page.text
    page = client.post("/labelling/sms", data={**form(page, "skip"), "reason": "blurred"})
    assert "message number 2" in page.text
    page = client.post("/labelling/sms", data=form(page, "undo"))
    assert "message number 1" in page.text
    page = client.post("/labelling/sms", data={**form(page, "answer"), "value": "spam"})
    page = client.post("/labelling/sms", data={**form(page, "answer"), "value": "spam"})
    assert "Nothing is left to label here" in page.text
    assert said(workspace) == [
        ("ann", "label", "ham"),
        ("ann", "skip", None),
        ("ann", "undo", None),
        ("ann", "label", "spam"),
        ("ann", "label", "spam"),
    ]
    with workspace.read() as tx:
        assert [entry.action for entry in ledger.find(tx)] == ["open_queue"], "a person's label is a row, no decision"


def test_the_name_is_remembered_for_these_pages_alone(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3)
    page = begin(client, " Zoë Ünal ")
    cookie = page.history[0].headers["set-cookie"]
    assert {"HttpOnly", "Path=/labelling", "SameSite=strict"} <= set(cookie.split("; "))
    assert "as <b>Zoë Ünal</b>" in client.get("/labelling/sms").text


def test_reading_a_page_lends_nothing(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3)
    client.cookies.set("everloop_labeller", "ann", path="/labelling")
    for path in ("/labelling", "/labelling/sms", "/labelling/sms/review", "/api/labelling", "/api/labelling/sms"):
        assert client.get(path).status_code == 200, path
    with workspace.read() as tx:
        assert annotations.holds(tx, "sms", now=0.0) == []


def test_what_stands_in_a_row_is_text_whatever_it_says(workspace: Workspace, client: httpx.Client) -> None:
    name = "<i>a&b</i>/../x"
    frame = pl.DataFrame({name: [SCRIPT], "empty": [None], "raw": [b"<svg onload=alert(1)>"]}, schema_overrides={"empty": pl.String})
    queue_of(workspace, frame, choices=[SCRIPT, "</label>"], instruction=SCRIPT, target="<u>")
    page = begin(client, SCRIPT)
    assert "<script>alert" not in page.text
    assert "<i>" not in page.text
    assert page.text.count("&lt;script&gt;") >= 4
    assert re.findall("<script[^>]*>", page.text) == ['<script src="/static/labelling.js" defer>']
    assert not re.search(r"\son\w+=|\sstyle=", re.sub("&lt;.*?&gt;", "", page.text))
    page = client.post("/labelling/sms", data={**form(page, "answer"), "value": SCRIPT})
    assert said(workspace) == [(SCRIPT, "label", SCRIPT)]
    for path in ("/labelling", "/labelling/sms", "/labelling/sms/review"):
        assert "<script>alert" not in client.get(path).text


def test_media_come_as_what_they_are_and_nothing_else_is_shown(workspace: Workspace, client: httpx.Client) -> None:
    wave = b"RIFF\x24\0\0\0WAVEfmt "
    frame = pl.DataFrame({"photo": [png()], "sound": [wave], "page": [b"<html><script>alert(1)</script>"], "text": ["<b>" + "x" * 50_000], "label": [None]},
                         schema_overrides={"label": pl.String})  # fmt: skip
    queue_of(workspace, frame)
    page = begin(client)
    row = form(page, "answer")["row"]
    at = f"/labelling/sms/rows/{row}"
    assert f'<img src="{at}/photo"' in page.text
    assert f'<audio controls preload="auto" src="{at}/sound">' in page.text
    assert "all 50003 characters" in page.text
    assert page.text.count("x" * 100) < 250, "a long text is cut"
    for column, kind, content in (("photo", "image/png", png()), ("sound", "audio/wav", wave)):
        answer = client.get(f"{at}/{column}")
        assert (answer.headers["content-type"], answer.content) == (kind, content)
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    saved = client.get(f"{at}/page")
    assert (saved.headers["content-type"], saved.headers["content-disposition"]) == ("application/octet-stream", "attachment")
    assert client.get(f"{at}/text").headers["content-type"].startswith("text/plain")
    for wrong in (f"{at}/label", f"{at}/nope", f"{at}/..%2Fphoto", "/labelling/sms/rows/row-0/photo", "/labelling/nope/rows/row-0/photo"):
        assert client.get(wrong).status_code == 404, wrong


def test_a_cell_that_is_too_large_is_not_sent(workspace: Workspace, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from everloop.queries import labelling

    queue_of(workspace, pl.DataFrame({"photo": [png(), png(5)]}))
    row = form(begin(client), "answer")["row"]
    monkeypatch.setattr(labelling, "MAX_MEDIA_BYTES", 10)
    refused = client.get(f"/labelling/sms/rows/{row}/photo")
    assert refused.status_code == 404
    assert "pages show up to" in refused.text


def test_wrong_answers_are_said_on_the_page_and_keep_the_row(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3)
    page = begin(client)
    sent = form(page, "answer")
    for status, told, wrong in (
        (400, "Did you mean &#39;spam&#39;", {"value": "spma"}),
        (400, "is nothing that can be done here", {"do": "explode"}),
        (400, "token is 1 to 80", {"value": "spam", "token": ""}),
        (400, "Seconds spent are a number", {"value": "spam", "seconds": "soon"}),
        (400, "labeller&#39;s name", {"value": "spam", "person": "\n"}),
        (404, "is not in labelling queue", {"value": "spam", "row": "row-ffffffffffffffff"}),
    ):
        page = client.post("/labelling/sms", data={**sent, **wrong})
        assert page.status_code == status, (wrong, page.text)
        assert told in page.text
        assert 'role="alert"' in page.text
    assert "message number 0" in client.get("/labelling/sms").text
    assert said(workspace) == []
    assert client.post("/labelling/smss", data=sent).status_code == 404


def test_ten_megabytes_and_other_kinds_of_bodies_are_refused(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3, kind="text", choices=[])
    sent = form(begin(client), "answer")
    refused = client.post("/labelling/sms", data={**sent, "value": "x" * 10_000_000})
    assert refused.status_code == 400
    assert "larger than 1,048,576 bytes" in refused.text
    refused = client.post("/labelling/sms", data={**sent, "value": "x" * 200_000})
    assert "takes up to 100,000" in refused.text
    for content, headers in (
        (b"do=next", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"person=%ff", FORM),
        (b"&".join(b"a=1" for _ in range(100)), FORM),
    ):
        assert client.post("/labelling/sms", content=content, headers=headers).status_code == 400, content
    assert said(workspace) == []


def test_a_form_sent_twice_and_two_at_once_count_once(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 8)
    sent = {**form(begin(client), "answer"), "value": "ham"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.post("/labelling/sms", data=sent), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert said(workspace) == [("ann", "label", "ham")]
    other = client.post("/labelling/sms", data={**sent, "value": "spam"})
    assert other.status_code == 409
    assert "sent before" in other.text


def test_people_at_once_never_share_a_row(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 24)

    def work(person: str) -> None:
        for number in range(6):
            lent = client.post("/api/labelling/sms/next", json={"person": person}).json()["row"]["item"]["row"]
            body = {"person": person, "action": "label", "row": lent, "value": "ham", "token": f"{person}-{number}"}
            assert client.post("/api/labelling/sms/annotations", json=body).status_code == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ["ann", "bob", "cy", "dee"]))
    with workspace.read() as tx:
        assert {len(made) for made in annotations.by_row(tx, "sms").values()} == {1}
        assert annotations.counts(tx, "sms") == {"done": 24}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{ours}"},
    ],
)
def test_a_page_of_another_site_cannot_label(workspace: Workspace, client: httpx.Client, headers: dict[str, str]) -> None:
    queue_of(workspace, 3)
    sent = {**form(begin(client), "answer"), "value": "ham"}
    headers = {name: value.format(ours=str(client.base_url).rstrip("/")) for name, value in headers.items()}
    for path in ("/labelling/sms", f"/labelling/sms/review/{sent['row']}", "/api/labelling/sms/next", "/api/labelling/sms/annotations"):
        refused = client.post(path, data=sent, headers=headers)
        assert refused.status_code == 403, path
        assert "another site" in refused.text
    assert said(workspace) == []
    assert client.get("/labelling/sms", headers=headers).status_code == 200, "a link from there is only a link"


@pytest.mark.parametrize("headers", [{}, {"Origin": "{ours}"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
def test_our_own_pages_and_programs_can(workspace: Workspace, client: httpx.Client, headers: dict[str, str]) -> None:
    queue_of(workspace, 3)
    sent = {**form(begin(client), "answer"), "value": "ham"}
    ours = {name: value.format(ours=str(client.base_url).rstrip("/")) for name, value in headers.items()}
    assert client.post("/labelling/sms", data=sent, headers=ours).status_code == 200
    assert said(workspace) == [("ann", "label", "ham")]


def test_a_reviewer_sees_what_was_said_and_has_the_last_word(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 2, wanted=2)
    for person, value in (("ann", "spam"), ("bob", "ham")):
        row = turn(workspace, person, value).row
    page = client.get("/labelling/sms/review")
    assert "they disagree" in page.text
    path = f"/labelling/sms/review/{row}"
    assert path in page.text
    page = client.get(path)
    assert "ann says <b>spam</b>" in page.text
    sent = {**form(page, "answer"), "person": "rae"}
    refused = client.post(path, data=sent)
    assert refused.status_code == 400
    assert "do not agree" in refused.text
    done = client.post(path, data={**sent, "value": "ham", "reason": "it is from a friend"})
    assert done.url.path == "/labelling/sms/review"
    assert "Nothing waits for a reviewer" in done.text
    assert ("rae", "accept", "ham") in said(workspace)
    assert client.post(path, data={**sent, "do": "reject", "token": "other"}).status_code == 200
    assert "rae rejected it" in client.get(path).text
    assert client.get("/labelling/sms/review/row-0").status_code == 404


def test_the_api_does_the_same_turns(workspace: Workspace, client: httpx.Client) -> None:
    queue_of(workspace, 3)
    lent = client.post("/api/labelling/sms/next", json={"person": "ann"}).json()
    assert lent["row"]["fields"][1]["text"] == "message number 0"
    body = {"person": "ann", "action": "label", "row": lent["row"]["item"]["row"], "value": "spam", "token": "t1", "seconds": 1.5}
    made = client.post("/api/labelling/sms/annotations", json=body).json()
    assert (made["seq"], made["value"], made["seconds"], made["origin"]) == (1, "spam", 1.5, "api")
    assert client.post("/api/labelling/sms/annotations", json=body).json() == made
    assert client.post("/api/labelling/sms/annotations", json={"person": "ann", "action": "undo", "token": "t2"}).json()["undoes"] == 1
    accepted = client.post("/api/labelling/sms/annotations", json={**body, "action": "accept", "token": "t3"}).json()
    assert accepted["action"] == "accept"
    report = client.get("/api/labelling/sms").json()
    assert (report["progress"]["done"], report["agreement"]["kappa"]) == (1, None)
    assert [one["queue"]["name"] for one in client.get("/api/labelling").json()["queues"]] == ["sms"]
    for status, told, wrong in (
        (400, "cannot be understood", {"person": 1}),
        (400, "unknown field", {**body, "admin": True}),
        (400, "Invalid enum value 'explode'", {**body, "action": "explode"}),
        (400, "Known: ham, spam", {**body, "value": 3, "token": "t4"}),
        (409, "sent before", {**body, "value": "ham"}),
    ):
        refused = client.post("/api/labelling/sms/annotations", json=wrong)
        assert refused.status_code == status, refused.text
        assert told in refused.json()["error"]
    assert client.post("/api/labelling/sms/next", content=b'{"person": "ann"}', headers=FORM).status_code == 400
    assert client.post("/api/labelling/nope/next", json={"person": "ann"}).status_code == 404
    assert client.post("/api/labelling/sms/next", content=b"[" * 100_000, headers={"Content-Type": "application/json"}).status_code == 400


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(
        (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")) if path.exists()), None
    )
    if path is None:
        pytest.skip("there is no Chromium here; Debian's is: apt-get install chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(path), args=["--no-sandbox"])
        yield opened
        opened.close()


def browsing(browser: Any, client: httpx.Client, queue: str, *, script: bool = True) -> tuple[Any, list[str]]:
    """A page where `ann` has begun, and what went wrong on it."""
    page = browser.new_context(java_script_enabled=script).new_page()
    page.set_default_timeout(15_000)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"{str(client.base_url).rstrip('/')}/labelling/{queue}")
    page.fill("input[name=person]", "ann")
    page.click("text=Begin")
    page.wait_for_selector(".desk")
    page.wait_for_load_state()
    return page, troubles


def arrived(page: Any, text: str) -> None:
    """The page with this row is there, its script too."""
    page.wait_for_selector(f".cell:has-text('{text}')")
    page.wait_for_load_state()


def test_keys_in_a_real_browser(workspace: Workspace, client: httpx.Client, browser: Any) -> None:
    queue_of(workspace, 4)
    page, troubles = browsing(browser, client, "sms")
    assert page.locator(".keys").inner_text().startswith("1 to 2 choose, Enter confirms, s skips, u takes your last answer back")
    page.keyboard.press("9")
    page.keyboard.press("2")
    assert page.locator("input[type=radio]:checked").get_attribute("value") == "ham"
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    arrived(page, "message number 1")
    page.keyboard.press("s")
    arrived(page, "message number 2")
    page.keyboard.press("u")
    arrived(page, "message number 1")
    page.fill("input[name=reason]", "sun")
    assert page.locator("input[name=reason]").input_value() == "sun", "in a field, s and u are letters"
    page.locator("input[name=reason]").press("Escape")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    arrived(page, "message number 2")
    assert said(workspace) == [("ann", "label", "spam"), ("ann", "skip", None), ("ann", "undo", None), ("ann", "label", "ham")]
    with workspace.read() as tx:
        spent = [made.seconds for row in annotations.by_row(tx, "sms").values() for made in row if made.action == "label"]
    assert all(seconds is not None and 0 < seconds < 60 for seconds in spent)
    page.go_back()
    page.wait_for_load_state()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Undo")
    assert len(said(workspace)) in (4, 5), "what the browser kept of an answered row is not answered twice"
    assert [text for text in troubles if "409" not in text] == []


def test_a_text_is_typed_and_sent_without_touching_the_mouse(workspace: Workspace, client: httpx.Client, browser: Any) -> None:
    queue_of(workspace, pl.DataFrame({"photo": [png(), png(6)]}), kind="text", choices=[], target="words")
    page, troubles = browsing(browser, client, "sms")
    assert page.locator("img").evaluate("image => image.complete && image.naturalWidth") in (4, 6)
    page.keyboard.type("sus, 1 unusual")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#undo b:has-text('sus, 1 unusual')")
    page.wait_for_load_state()
    page.locator("textarea").press("Escape")
    page.keyboard.press("u")
    page.wait_for_selector("#undo", state="detached")
    page.wait_for_load_state()
    page.locator("textarea").evaluate("field => field.blur()")
    page.keyboard.type("us")
    assert page.locator("textarea").input_value() == "us", "what is typed before the field has the focus is no command"
    assert [action for _, action, _ in said(workspace)] == ["label", "undo"]
    assert troubles == []


def test_a_browser_without_script_can_label(workspace: Workspace, client: httpx.Client, browser: Any) -> None:
    queue_of(workspace, texts(2))
    page, _ = browsing(browser, client, "sms", script=False)
    page.check("input[value=ham]")
    page.click("text=Confirm")
    arrived(page, "message number 1")
    page.click("text=Skip")
    page.wait_for_selector("#undo")
    assert said(workspace) == [("ann", "label", "ham"), ("ann", "skip", None)]


def test_a_form_on_another_site_does_not_get_through_a_real_browser(
    workspace: Workspace, client: httpx.Client, browser: Any, tmp_path: Path
) -> None:
    queue_of(workspace, 3)
    sent = {**form(begin(client), "answer"), "value": "ham"}
    fields = "".join(f'<input name="{name}" value="{value}">' for name, value in sent.items())
    evil = tmp_path / "evil.html"
    evil.write_text(f'<form method="post" action="{str(client.base_url).rstrip("/")}/labelling/sms">{fields}<button>Win</button></form>')
    page = browser.new_page()
    page.goto(evil.as_uri())
    page.click("button")
    page.wait_for_selector("text=another site")
    assert said(workspace) == []
