"""The terminal of `binance-sidecar top`: renewed each second, left as it was found.

Owns: the loop, its end, what is printed where there is no terminal. Must not know: what a screen shows. Importing it
needs rich.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from proxy.commands.running import NoAnswer, status_of
from proxy.commands.screen import no_answer, screen

RENEW_SECONDS = 1.0


def show(base_url: str, *, console: Console | None = None, sleep: Callable[[float], object] = time.sleep) -> int:
    """Show a gateway until Ctrl-C. Returns the exit status.

    Without a terminal it prints one screen and ends, with 1 if the gateway does not answer.
    """
    console = console or Console()
    try:
        return _watch(base_url, console, sleep) if console.is_terminal else _print(base_url, console)
    except KeyboardInterrupt:
        return 0


def _print(base_url: str, console: Console) -> int:
    try:
        status = status_of(base_url)
    except NoAnswer as error:
        sys.stderr.write(f"binance-sidecar: {error}\n")
        return 1
    console.print(screen(status, height=console.height))
    return 0


def _watch(base_url: str, console: Console, sleep: Callable[[float], object]) -> int:
    """On the alternate screen, which rich leaves however this ends."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                shown = screen(status_of(base_url), height=console.height)
            except NoAnswer as error:
                shown = no_answer(str(error))
            live.update(shown, refresh=True)
            sleep(RENEW_SECONDS)
