"""The terminal of `binance-sidecar top`: renewed each second, left as it was found.

Owns: the loop, its end, what is printed where there is no terminal. Must not know: what a screen shows. Importing it
needs rich.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from proxy.commands.running import NoAnswer, status_of
from proxy.commands.screen import no_answer, screen

RENEW_SECONDS = 1.0
Ask = Callable[[], dict[str, Any]]
"""Gets the status. Raises NoAnswer."""


def show(
    base_url: str,
    *,
    certificate: Path | None = None,
    hint: str = "",
    console: Console | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Show a gateway until Ctrl-C; over TLS the one with this certificate. Returns the exit status.

    Without a terminal it prints one screen and ends, with 1 if the gateway does not answer. `hint`: what is then said
    after the reason.
    """
    console = console or Console()
    try:
        ask = partial(status_of, base_url, certificate=certificate)
        return _watch(ask, console, hint, sleep) if console.is_terminal else _print(ask, console, hint)
    except KeyboardInterrupt:
        return 0


def _print(ask: Ask, console: Console, hint: str) -> int:
    try:
        status = ask()
    except NoAnswer as error:
        sys.stderr.write(f"binance-sidecar: {error}{hint}\n")
        return 1
    console.print(screen(status, height=console.height))
    return 0


def _watch(ask: Ask, console: Console, hint: str, sleep: Callable[[float], object]) -> int:
    """On the alternate screen, which rich leaves however this ends."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                shown = screen(ask(), height=console.height)
            except NoAnswer as error:
                shown = no_answer(f"{error}{hint}")
            live.update(shown, refresh=True)
            sleep(RENEW_SECONDS)
