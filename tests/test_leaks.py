"""The watch over what tests leave open: each test that leaks fails, and the clean one after it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAKS = {
    "socket": "def test_socket(): Cycle(socket.socket())",
    "file": "def test_file(tmp_path): Cycle(open(tmp_path / 'made', 'w'))",
    "process": "def test_process(): Cycle(subprocess.Popen(['sleep', '0'], stdout=subprocess.PIPE))",
    "loop": "def test_loop(): Cycle(asyncio.SelectorEventLoop())",
    "of_a_fixture": """
@pytest.fixture
def held(): return Cycle(socket.socket())
def test_of_a_fixture(held): pass""",
    "accepted": """
async def test_accepted():
    with socket.create_server(('127.0.0.1', 0)) as server, socket.create_connection(server.getsockname()):
        Cycle(server.accept()[0])""",
    "transport": """
async def test_transport():
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *LISTENING.getsockname())
    Cycle(transport)""",
    "server": """
async def test_server(): Cycle(await asyncio.start_server(lambda reader, writer: None, '127.0.0.1', 0))""",
    "pipe": """
async def test_pipe():
    end = os.fdopen(os.dup(READING), 'rb', 0)
    Cycle(await asyncio.get_running_loop().connect_read_pipe(asyncio.Protocol, end))""",
    "session": "async def test_session(): Cycle(aiohttp.ClientSession())",
    "task": "async def test_task(): Cycle(asyncio.create_task(asyncio.sleep(600)))",
    "task_of_a_fixture": """
@pytest.fixture
async def running(): return asyncio.create_task(asyncio.sleep(600))
async def test_task_of_a_fixture(running): pass""",
    "error_of_a_task": """
async def fail(): raise ValueError
async def test_error_of_a_task():
    Cycle(asyncio.create_task(fail()))
    await asyncio.sleep(0)""",
    "error_of_a_future": """
async def test_error_of_a_future():
    Cycle(future := asyncio.get_running_loop().create_future())
    future.set_exception(OSError())""",
}
HEAD = """
import asyncio, atexit, gc, os, socket, subprocess
import aiohttp, pytest

LISTENING = socket.create_server(("127.0.0.1", 0))
atexit.register(LISTENING.close)
READING, WRITING = os.pipe()

class Cycle:
    def __init__(self, held): self.held, self.me = held, self

def test_clean():
    gc.disable()
    gc.collect()

async def test_broken_connection():
    protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    gc.collect(0)
    protocol._closed = asyncio.get_running_loop().create_future()  # younger than the protocol by a collection
    protocol.connection_lost(BrokenPipeError())
    Cycle(protocol)
    protocol.me = protocol
"""
CLEAN = """
def test_after_{}(): gc.collect()
"""
CONFTEST = """
import asyncio, uvloop

def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
"""
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def run(folder: Path, *options: str) -> dict[str, str]:
    """Run every leak in two modules with the watch: each test's module and name, and why it failed."""
    module = HEAD + "".join(body + CLEAN.format(kind) for kind, body in LEAKS.items())
    for name in ("test_first.py", "test_second.py"):
        (folder / name).write_text(module)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(SETTINGS)
    report = folder / "report.xml"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.leaks", "-p", "no:valkey", "-p", "no:cacheprovider"),
            *(f"--rootdir={folder}", f"--junitxml={report}", *options),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        why = "".join(f"{child.tag} {child.get('message')} {child.text}" for child in case)
        test = f"{case.attrib['classname']}.{case.attrib['name']}"
        outcomes[test] = outcomes.get(test, "") + why
    return outcomes


def what(test: str) -> str:
    """What a test leaks, if it does."""
    return test.partition(".")[2].partition("[")[0].removeprefix("test_")


@pytest.mark.parametrize("processes", ["0", "2"])
def test_whoever_leaks_fails_and_nobody_else(tmp_path: Path, processes: str) -> None:
    outcomes = run(tmp_path, f"--numprocesses={processes}", "--dist=worksteal")

    guilty = {name for name, why in outcomes.items() if why}
    assert guilty == {name for name in outcomes if what(name) in LEAKS}
    assert {what(name) for name in guilty} == LEAKS.keys()
    assert {name.partition(".")[0] for name in guilty} == {"test_first", "test_second"}
    assert all("left open:" in outcomes[name] or "left running:" in outcomes[name] for name in guilty)
