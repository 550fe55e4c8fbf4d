"""The status page over HTTP: on which listener it is, its headers, its files."""

from __future__ import annotations

import pytest

from tests.gateway.harness import Stage, stage

FILES = {
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/page.svg": "image/svg+xml",
}


async def asked(on: Stage, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    answer = await on.client.ask(path, method, url=on.app.ops_url, **headers)
    return answer.status, answer.headers, answer.body


@pytest.mark.parametrize("ops_port", [None, 0])
async def test_the_page_is_on_the_ops_listener_or_the_only_one(ops_port: int | None) -> None:
    async with stage(ops_port=ops_port) as on:
        status, headers, body = await asked(on, "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body.startswith(b"<!doctype html>")
        assert headers["cache-control"] == "no-store"
        for path, kind in FILES.items():
            status, headers, _ = await asked(on, path)
            assert (status, headers["content-type"]) == (200, kind)
        if ops_port is not None:
            for path in ("/", *FILES):
                assert (await on.ask(path)).status == 404


@pytest.mark.parametrize("path", ["/", *FILES])
async def test_no_other_site_and_nothing_inside_can_run(path: str) -> None:
    async with stage() as on:
        _, headers, _ = await asked(on, path)
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[part] for part in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert {policy[part] for part in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    async with stage() as on:
        tags = set()
        for path in FILES:
            _, headers, body = await asked(on, path)
            tags.add(headers["etag"])
            assert headers["cache-control"] == "no-cache"
            assert body
            again, headers, body = await asked(on, path, If_None_Match=headers["etag"])
            assert (again, body) == (304, b"")
            assert (await asked(on, path, If_None_Match='"other"'))[0] == 200
        assert len(tags) == len(FILES)


async def test_head_and_compression_work_as_everywhere() -> None:
    async with stage() as on:
        for path in ("/", "/page.css", "/page.js"):
            packed = await on.client.ask(path, Accept_Encoding="gzip")
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.body == (await on.client.ask(path)).body
            status, headers, body = await asked(on, path, "HEAD")
            assert (status, body) == (200, b"")
            assert int(headers["content-length"]) > 500
            assert (await asked(on, path, "POST"))[0] == 405
