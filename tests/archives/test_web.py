"""What every request to an archive keeps to, against a loopback server with each misbehaviour archives are known for."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from archives.loopback import CHALLENGE, HTML, Asked, Handler, Mischief, State, quoted, serving
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import Place, patience
from neuropile.archives.patience import Passing, asked_wait
from neuropile.archives.web import Refused, Web, Whole
from neuropile.errors import ArchiveError

DATA = bytes(range(256)) * 40


@pytest.fixture
def server():
    with serving() as state:
        state.files["d/a b#c+ü%.bin"] = DATA
        state.files["x.json"] = b'{"a": 1}'
        yield state


def place(server: State, **how: object) -> Place:
    return Place(f"{server.url}/{quoted('d/a b#c+ü%.bin')}", **how)


def taken(web: Web, where: Place, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join(web.stream(where, start, stop))


@given(data=st.data())
def test_a_range_is_the_slice(web, server, data) -> None:
    start = data.draw(st.integers(0, len(DATA) - 1))
    stop = data.draw(st.none() | st.integers(start + 1, len(DATA) + 50))
    assert taken(web, place(server), start, stop) == DATA[start:stop]


def test_names_with_spaces_hashes_and_letters_of_any_script_are_found(web, server) -> None:
    assert taken(web, place(server)) == DATA
    assert server.asked[-1].path == "/d/a b#c+ü%.bin"
    assert taken(web, Place(f"{server.url}/d/a b%23c+ü%25.bin"), 3, 5) == DATA[3:5]  # as some archives write them


def test_files_are_asked_for_unpacked_and_by_an_honest_name(web, server) -> None:
    taken(web, place(server))
    asked = server.asked[-1].headers
    assert asked["accept-encoding"] == "identity"
    assert asked["user-agent"].startswith("neuropile/")
    assert "Mozilla" not in asked["user-agent"]
    assert asked["accept"] == "*/*"


def test_credentials_go_to_the_first_server_only_and_the_range_to_each(web) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect(bucket.signed("f"))

    with serving(state=State(files={"f": DATA}, foreign=True)) as bucket, serving(Redirecting) as api:
        secret = {"Authorization": "Bearer x", "X-Key": "y"}
        assert taken(web, Place(f"{api.url}/download", secret), 100, 200) == DATA[100:200]
        assert {"authorization", "x-key"} <= set(api.asked[0].headers)
        assert not {"authorization", "x-key"} & set(bucket.asked[0].headers)
        assert (bucket.asked[0].method, bucket.asked[0].start, bucket.asked[0].stop) == ("GET", 100, 200)


def test_credentials_stay_on_the_same_server(web) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect("/f") if asked.path == "/go" else self.send_file("f")

    with serving(Redirecting, State(files={"f": DATA})) as api:
        assert taken(web, Place(f"{api.url}/go", {"Authorization": "Bearer x"})) == DATA
        assert api.asked[-1].headers["authorization"] == "Bearer x"


def test_a_signed_address_is_asked_for_anew_each_time(web) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect(bucket.signed("f"))

    with serving(state=State(files={"f": DATA}, sign_s=0.3)) as bucket, serving(Redirecting) as api:
        assert taken(web, Place(f"{api.url}/d"), 0, 9) == DATA[:9]
        stale = bucket.signed("f")
        time.sleep(0.4)
        assert taken(web, Place(f"{api.url}/d"), 9, 20) == DATA[9:20]
        with pytest.raises(Passing, match=r"403.*expired"):
            taken(web, Place(stale))


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/loop"])
def test_redirects_that_lead_nowhere_are_not_followed(web, location: str) -> None:
    class Redirecting(Handler):
        def route(self, asked: Asked) -> None:
            self.send_redirect(location)

    with serving(Redirecting) as api, pytest.raises(ArchiveError, match="redirects"):
        taken(web, Place(f"{api.url}/loop"))


@pytest.mark.parametrize(
    ("mischief", "error", "words"),
    [
        (HTML, ArchiveError, "a web page came instead of data .Making sure you are not a bot"),
        (CHALLENGE, ArchiveError, "an empty answer came instead of data .HTTP 202, a challenge"),
        (Mischief(204), ArchiveError, "an empty answer"),
        (Mischief(401), Refused, "HTTP 401: access refused; give a credential"),
        (Mischief(403, {}, b"<h1>You are being blocked.</h1> Please contact us"), Refused, "You are being blocked. Please contact us.*access refused"),
        (Mischief(404, {"X-Error-Code": "EntryNotFound"}), Refused, "404 EntryNotFound: no such thing there"),
        (Mischief(410), Refused, "410: withdrawn"),
        (Mischief(400, {}, b"<Error><Code>InvalidArgument</Code></Error>"), Refused, "HTTP 400 .InvalidArgument"),
        (Mischief(301, {"x-amz-bucket-region": "us-west-2"}), Refused, "HTTP 301"),
        (Mischief(500), Passing, "HTTP 500"),
        (Mischief(503), Passing, "HTTP 503"),
        (Mischief(429), Passing, "too many requests"),
        (Mischief(408), Passing, "HTTP 408"),
        (Mischief(cut=0.5), Passing, "the connection failed"),
        (Mischief(cut=0.5, reset=True), Passing, "the connection failed"),
        (Mischief(ignore_range=True), Whole, "ignores byte ranges"),
        (Mischief(206, {"Content-Range": "bytes 0-9/100"}, bytes(10)), ArchiveError, "asked for bytes 5-50, got 'bytes 0-9/100'"),
        (Mischief(206, {}, bytes(45)), ArchiveError, "does not say which"),
        (Mischief(206, {"Content-Range": "bytes 5-49/100"}, bytes(40)), ArchiveError, "asked for bytes 5-50"),
    ],
)
def test_every_wrong_answer_is_told_for_what_it_is(web, server, mischief: Mischief, error: type, words: str) -> None:
    server.next = [mischief]
    with pytest.raises(error, match=words):
        taken(web, place(server), 5, 50)
    assert len(server.asked) == 1


def test_a_range_beyond_the_end_is_told(web, server) -> None:
    with pytest.raises(Refused, match=r"no bytes 99999-.*bytes \*/10240"):
        taken(web, place(server), 99999)


def test_nobody_there_is_a_failure_that_may_pass(web) -> None:
    with pytest.raises(Passing, match="the connection failed"):
        taken(web, Place("http://127.0.0.1:9/x"))
    with pytest.raises(ArchiveError, match="tried 6 times"):
        web.json("http://127.0.0.1:9/x")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(web, server, status: int) -> None:
    server.next = [Mischief(status)] * 2
    assert web.json(f"{server.url}/x.json") == {"a": 1}
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 416])
def test_what_does_not_pass_is_asked_once(web, server, status: int) -> None:
    server.next = [Mischief(status)] * 2
    with pytest.raises(Refused) as caught:
        web.json(f"{server.url}/x.json", hint="set SOME_KEY")
    assert caught.value.status == status
    assert ("set SOME_KEY" in str(caught.value)) == (status in (401, 403))
    assert len(server.asked) == 1


def test_asking_ends(web, server) -> None:
    server.mischief = lambda asked: Mischief(503)
    with pytest.raises(ArchiveError, match="HTTP 503; tried 6 times: run again later"):
        web.get(f"{server.url}/x.json")
    assert len(server.asked) == patience.TRIES


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"X-RateLimit-Reset": f"{NOW + 30:.0f}", "X-RateLimit-Remaining": "0"}, 30),
        ({"RateLimit-Limit": "30", "RateLimit-Remaining": "0", "RateLimit-Reset": f"{NOW + 30:.0f}"}, 30),
        ({"RateLimit-Reset": "30"}, 30),
        ({"RateLimit": '"resolvers";r=0;t=30'}, 30),
        ({"RateLimit": '"api";r=12;t=30'}, None),
        ({"Retry-After": formatdate(NOW - 30, usegmt=True)}, 0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_each_shape_of_a_limit_is_understood(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_a_short_wait_is_waited(web, server, status: int) -> None:
    server.next = [Mischief(status, {"Retry-After": "1"})]
    began = time.monotonic()
    assert web.json(f"{server.url}/x.json") == {"a": 1}
    assert 1 <= time.monotonic() - began < 2


def test_a_wait_is_read_only_where_something_is_refused(web, server) -> None:
    server.next = [Mischief(500, {"Retry-After": "1000"})]  # Zenodo sends it with answers that are fine, too
    assert web.json(f"{server.url}/x.json") == {"a": 1}


def test_a_limit_that_lasts_is_told_with_when_to_come_back(web, server) -> None:
    server.next = [Mischief(429, {"RateLimit-Reset": f"{time.time() + 3000:.0f}"}, b"Request rejected due to rate limits.")]
    began = time.monotonic()
    with pytest.raises(ArchiveError, match=r"its limit lasts another 50 min: run again after \d\d:\d\d UTC"):
        web.json(f"{server.url}/x.json")
    assert time.monotonic() - began < 1


def test_what_is_no_json_is_told(web, server) -> None:
    server.files["x.json"] = b"<html><title>Down for maintenance</title></html>"
    server.types["x.json"] = "text/html"
    with pytest.raises(ArchiveError, match="sought JSON, got text/html: Down for maintenance"):
        web.json(f"{server.url}/x.json")


def test_a_page_without_end_is_not_read(web, server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropile.archives.web.MAX_PAGE", 1000)
    server.files["x.json"] = b" " * 100_000
    with pytest.raises(ArchiveError, match="longer than"):
        web.json(f"{server.url}/x.json")


def test_secrets_in_addresses_are_never_told(web, server) -> None:
    server.next = [Mischief(404)]
    with pytest.raises(Refused) as caught:
        web.json(f"{server.url}/x.json?token=SECRET")
    assert "SECRET" not in str(caught.value)
    with pytest.raises(Passing) as caught2:
        taken(web, Place("http://user:SECRET@127.0.0.1:9/x?sig=SECRET"))
    assert "SECRET" not in str(caught2.value)


def test_a_server_is_asked_few_things_at_a_time(web) -> None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    now, most, lock = [0], [0], threading.Lock()

    class Counting(Handler):
        def route(self, asked: Asked) -> None:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with lock:
                now[0] -= 1
            self.send_json({})

    with serving(Counting) as state, ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda i: web.json(f"{state.url}/{i}"), range(40)))
    assert most[0] <= 6


def test_what_a_server_says_of_a_file_is_asked_of_its_first_byte(web, server) -> None:
    server.etags["d/a b#c+ü%.bin"] = "abc"
    about = web.about(place(server))
    assert (about.size, about.etag, about.ranges) == (len(DATA), "abc", True)
    assert [a.method for a in server.asked] == ["GET"]
    assert server.n_bytes == 1
    server.next = [Mischief(ignore_range=True)]
    assert (web.about(place(server)).size, web.about(place(server)).ranges) == (len(DATA), True)
    server.files["empty"] = b""
    assert web.about(Place(f"{server.url}/empty")).size == 0


def test_a_body_that_hardly_comes_is_given_up(web, server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropile.archives.wire.SLOW_S", 0.1)
    monkeypatch.setattr("neuropile.archives.web.READ_S", 0.1)
    server.files["slow"] = bytes(1 << 20)
    monkeypatch.setattr("neuropile.archives.wire.SLOW_BYTES", 1 << 20)
    server.drip_s = 0.05
    with pytest.raises(Passing, match="bytes came in"):
        taken(web, Place(f"{server.url}/slow"))
