"""Downloads: mirrors, checksums, interrupted downloads that continue, and being offline."""

import hashlib
import http.server
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from support.idx_files import nowhere, write_set  # noqa: F401

from tinygen import data
from tinygen.data import DataError, fetch


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A local mirror of a small dataset, registered as mnist with its checksums."""
    folder = write_set(tmp_path / "mirror")
    digests = tuple(hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in fetch.FILES)
    monkeypatch.setitem(fetch.SHA256, "mnist", digests)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setitem(
        fetch.MIRRORS, "mnist", ("http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/")
    )
    yield folder
    server.shutdown()
    server.server_close()


def test_download_falls_back_checks_and_caches(mirror, capfd):
    found = data.load("mnist")
    assert found.folder == fetch.cache_dir() / "mnist" and len(found.train_images) == 6
    assert sorted(p.name for p in found.folder.iterdir()) == sorted(fetch.FILES)  # no temporary file
    assert capfd.readouterr().err == ""  # the progress bar needs a terminal
    for path in mirror.iterdir():
        path.unlink()
    assert data.load("mnist").sha256 == found.sha256


def test_download_refuses_another_file(mirror):
    (mirror / fetch.FILES[2]).write_bytes(b"<html>log in first</html>")
    with pytest.raises(DataError, match=r"sha256 .* of 25 bytes, expected"):
        data.load("mnist")
    assert sorted(p.name for p in (fetch.cache_dir() / "mnist").iterdir()) == sorted(fetch.FILES[:2])


def test_download_stops_at_a_bound(mirror, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="sends more than 100 bytes"):
        data.load("mnist")


class Mirror(http.server.SimpleHTTPRequestHandler):
    """A server that supports ranges and cuts off connections."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        content = Path(self.directory, self.path[1:]).read_bytes()
        asked = self.headers.get("Range")
        self.server.asked.append((self.path[1:], asked))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start : start + self.server.most])
        self.close_connection = True


@pytest.fixture
def server(mirror, monkeypatch):
    """The only mirror of mnist: `most` bytes per answer, with or without `ranges`; `asked` holds the requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Mirror, directory=mirror))
    server.most, server.ranges, server.asked, server.folder = 10**9, True, [], mirror
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setitem(fetch.MIRRORS, "mnist", (f"http://127.0.0.1:{server.server_port}/",))
    yield server
    server.shutdown()
    server.server_close()


def part_of(file, content):
    fetch.cache_dir().joinpath("mnist").mkdir(parents=True, exist_ok=True)
    fetch.cache_dir().joinpath("mnist", f".{file}.part").write_bytes(content)


def test_a_download_goes_on_where_it_was_cut_off(server):
    sizes = [(server.folder / file).stat().st_size for file in fetch.FILES]
    server.most = max(sizes) // 3 + 1
    assert len(data.load("mnist").train_images) == 6
    first = [asked for file, asked in server.asked if file == fetch.FILES[0]]
    assert first == [None, f"bytes={server.most}-", f"bytes={2 * server.most}-"]
    assert sorted(p.name for p in (fetch.cache_dir() / "mnist").iterdir()) == sorted(fetch.FILES)


def test_an_interrupted_download_is_kept_and_finished_by_the_next_call(server, monkeypatch):
    whole = [(server.folder / file).read_bytes() for file in fetch.FILES]
    seen = []

    def interrupted(response):
        chunk = response.read(7)
        seen.append(chunk)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return chunk

    server.most = 10**9
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetch, "_received", interrupted)
        data.load("mnist")
    folder = fetch.cache_dir() / "mnist"
    assert os.listdir(folder) == [f".{fetch.FILES[0]}.part"]
    assert (folder / f".{fetch.FILES[0]}.part").read_bytes() == whole[0][:21]
    server.asked.clear()
    (server.folder / fetch.FILES[2]).rename(server.folder / "away")
    with pytest.raises(DataError, match="the download failed"):  # the two files that exist are kept
        data.load("mnist")
    assert server.asked[0] == (fetch.FILES[0], "bytes=21-")
    (server.folder / "away").rename(server.folder / fetch.FILES[2])
    server.asked.clear()
    data.load("mnist")
    assert [file for file, _ in server.asked] == list(fetch.FILES[2:])


def test_a_server_that_gives_up_every_time_is_left_and_its_bytes_are_kept(server):
    server.most = 3
    with pytest.raises(DataError, match=r"connection was lost after 15 bytes.*; 15 bytes of it are kept"):
        data.load("mnist")
    assert len(server.asked) == fetch.ATTEMPTS
    server.most = 0
    with pytest.raises(DataError, match=r"connection was lost after 15 bytes"):
        data.load("mnist")
    assert len(server.asked) == fetch.ATTEMPTS + 1  # no bytes arrived
    server.most = 10**9
    data.load("mnist")
    assert server.asked[fetch.ATTEMPTS + 1] == (fetch.FILES[0], "bytes=15-")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("begun", ["changed", "too long", "whole", "good"])
def test_pieces_that_do_not_fit_are_thrown_away(server, ranges, begun):
    """The file has changed, the piece is longer than the file, or the server ignores ranges and sends everything."""
    content = (server.folder / fetch.FILES[0]).read_bytes()
    part = {"changed": b"x" * 9, "too long": content + b"x", "whole": content, "good": content[:9]}[begun]
    part_of(fetch.FILES[0], part)
    server.ranges = ranges
    data.load("mnist")
    asked = [asked for file, asked in server.asked if file == fetch.FILES[0]]
    again = ranges and begun in ("changed", "too long")
    assert asked == ([] if begun == "whole" else [f"bytes={len(part)}-"] + [None] * again)


def test_two_processes_do_not_write_into_one_partial_file(server):
    server.most = 2000
    found, threads = [], []
    for _ in range(3):
        threads.append(threading.Thread(target=lambda: found.append(data.load("mnist").sha256)))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3 and len(set(found)) == 1


def test_a_partial_file_that_is_a_link_or_a_pipe_is_refused(server):
    folder = fetch.cache_dir() / "mnist"
    folder.mkdir(parents=True)
    (folder / "victim").write_text("precious")
    part = folder / f".{fetch.FILES[0]}.part"
    for make in lambda: part.symlink_to("victim"), lambda: os.mkfifo(part):
        make()
        with pytest.raises(DataError, match="download failed"):
            data.load("mnist")
        part.unlink()
    assert (folder / "victim").read_text() == "precious"


def test_offline_says_which_files_to_put_where():
    with pytest.raises(DataError) as caught:
        data.load("fashion-mnist")
    message = str(caught.value)
    for part in (*fetch.FILES, str(fetch.cache_dir() / "fashion_mnist"), "--data-dir", "refused"):
        assert part in message
    assert "\n" not in message


def test_unwritable_cache_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="download failed"):
        data.load("mnist")
