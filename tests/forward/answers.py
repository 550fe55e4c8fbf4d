"""Valid answers of every framing, drawn by hypothesis.

Owns: what an origin means and the bytes that say so. Must not know: who reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True)
class Answer:
    """What an origin means, and its bytes."""

    text: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    has_no_body: bool
    ends_with_connection: bool

    @property
    def texts(self) -> dict[str, str]:
        """The headers as they are read."""
        return {name.lower().decode(): value.decode("latin-1") for name, value in self.headers}


NAMES = st.from_regex(rb"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,8}", fullmatch=True)
VALUES = st.from_regex(rb"([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,10}[!-~\x80-\xff])?)?", fullmatch=True)
_COMMON_CHUNKS = [b"%x", b"%X", b"000%x", b"%x;a=b"]
_CHUNKS = [*_COMMON_CHUNKS, b'%x ; a="b"', b"%x \t"]
_SPACES = st.sampled_from([b"", b" ", b"\t", b"  "])


@st.composite
def chunks(draw: st.DrawFn, body: bytes, *, is_common: bool) -> bytes:
    """A body in chunks of any sizes, with extensions and trailers."""
    forms = _COMMON_CHUNKS if is_common else _CHUNKS
    text, at = b"", 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        form = draw(st.sampled_from(forms))
        text += form % size + b"\r\n" + body[at : at + size] + b"\r\n"
        at += size
    trailers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=2))
    return text + b"0\r\n" + b"".join(b"%b: %b\r\n" % line for line in trailers) + b"\r\n"


@st.composite
def answers(draw: st.DrawFn, *, is_common: bool = False) -> Answer:
    """Valid answers of each framing, with interim answers before them.

    `is_common`: without white space where llhttp takes none, after `chunked` and around a chunk's size.
    """
    spaces = st.just(b" ") if is_common else _SPACES
    interim = draw(st.lists(st.sampled_from([100, 102, 103]), max_size=3))
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 418, 429, 503]))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    body = draw(st.binary(max_size=200))
    framing = draw(st.sampled_from(["length", "chunked", "close", "HEAD"]))
    has_no_body = framing == "HEAD" or status in (204, 304)
    match framing:
        case "chunked":
            wire, line = draw(chunks(body, is_common=is_common)), [(b"Transfer-Encoding", b"chunked")]
        case "close":
            wire, line = body, []
        case _:
            wire, line = body, [(b"Content-Length", b"%d" % len(body))]
    headers[draw(st.integers(0, len(headers))) : 0] = line
    text = b"".join(b"HTTP/1.1 %d Wait\r\nX-Early: 1\r\n\r\n" % number for number in interim)
    text += b"HTTP/1.1 %d%b\r\n" % (status, draw(st.sampled_from([b"", b" ", b" OK", b" Not Found"])))
    for name, value in headers:
        text += b"%b:%b%b%b\r\n" % (name, draw(spaces), value, b"" if is_common else draw(spaces))
    text += b"\r\n" + (b"" if has_no_body else wire)
    meant = b"" if has_no_body else body
    ends = framing == "close" and not has_no_body
    return Answer(text, status, tuple(headers), meant, framing == "HEAD", ends)
