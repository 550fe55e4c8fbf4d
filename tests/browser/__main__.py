"""The command behind `make page-test`: the status page in a real browser, in five states.

Owns: what is needed and whether it is at hand, the exit status. Must not know: what is looked for (look.cjs).
The pictures stay in .cache/pictures, for somebody to look at.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from tests.browser.states import STATES
from tests.clients.environment import CACHE, ROOT, NodePackages, client_environment
from tests.environment import forget_settings

HERE = Path(__file__).parent
PICTURES = CACHE / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
DEADLINE_SECONDS = 300.0
PACKAGES = NodePackages(CACHE / "browser-npm", HERE / "npm", "the packages of the browser test")


def browser() -> str | None:
    """The Chromium of this machine; CHROMIUM names another one."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


async def look(chromium: str, modules: Path) -> list[str]:
    """Everything that is not as it should be."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stages = {state: await stack.enter_async_context(make()) for state, make in STATES.items()}
        pages = {state: on.app.ops_url for state, on in stages.items()}
        process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "look.cjs"),
            env=client_environment(modules),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        asked = json.dumps({"chromium": chromium, "folder": str(PICTURES), "pages": pages})
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                out, _ = await process.communicate(asked.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        return [f"the browser could not be driven ({process.returncode})"]
    faults: list[str] = json.loads(out)["faults"]
    return faults


def main() -> int:
    """0 also where there is no browser: a line then says so."""
    forget_settings(os.environ)
    chromium = browser()
    if chromium is None:
        print("page-test is left out: there is no Chromium on the path (Debian: apt-get install chromium)")
        return 0
    modules = PACKAGES.installed()
    if modules is None:
        print("page-test is left out: it needs Node 20 with npm")
        return 0
    faults = asyncio.run(look(chromium, modules))
    for fault in faults:
        print(fault)
    print(f"the status page in {len(STATES)} states: {len(faults)} faults; pictures in {PICTURES.relative_to(ROOT)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
