"""The command: `serve` (the default), `check`, the health probe for containers, `top` and `explain` for people.

Owns: arguments, exit statuses, what each signal does, the choice of the event loop. Must not know: how a request is
answered.
"""

from __future__ import annotations

import proxy.memory.arenas  # noqa: F401 - first, so that what the others make lies together

# isort: split
import asyncio
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile

from proxy import __version__, settings
from proxy.app import run_gateway
from proxy.configuration.reading import BadSettings
from proxy.core.endpoints.base_urls import masked
from proxy.event_log import log
from proxy.memory.large_pages import use_large_pages
from proxy.telemetry import logs

USAGE = """\
usage: binance-sidecar [serve] [--flag value ...]   run the gateway (the default; serve --help lists the flags)
       binance-sidecar check                        exit 0 if the gateway with these settings is alive, else 1
       binance-sidecar top [url]                    show the gateway on this terminal, renewed each second
       binance-sidecar explain 'GET /path?query'    what becomes of a request, without asking Binance
       binance-sidecar --version
Flags come last: binance-sidecar explain 'GET /path?query' --port 8081
"""
BAD_SETTINGS = 2
IGNORED_SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2")
"""Other servers read their settings or open their logs again then, and here the default would end the process."""
MALLOC_OPTIONS = ((-3, 1 << 17), (-1, 1 << 18), (-8, 1))
"""M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX (mallopt(3)): larger blocks are mapped one by one, so
much that is free at the end of the heap is returned, and there is one heap."""
LAME_DUCK_SHARE = 1 / 3
"""The part of SIDECAR_SHUTDOWN_SECONDS in which new connections are still served after SIGTERM."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(f"binance-sidecar {__version__}")  # noqa: T201 - the output of the command
        return 0
    if words[:1] != ["serve"] and not {"--help", "-h"}.isdisjoint(words):
        sys.stdout.write(f"{USAGE}\n")
    command = words.pop(0) if words and not words[0].startswith("-") else "serve"
    asking = {"top": _top, "explain": _explain}
    # A request is two words where its quotes are forgotten.
    operands = list(takewhile(lambda word: not word.startswith("-"), words)) if command in asking else []
    del words[: len(operands)]
    actions = {name: partial(ask, operand=" ".join(operands) or None) for name, ask in asking.items()}
    action = ({"serve": _serve, "check": _check} | actions).get(command)
    if action is None:
        sys.stderr.write(f"binance-sidecar: no such command: {masked(command)}\n{USAGE}")
        return BAD_SETTINGS
    try:
        return action(settings.load(words))
    except BadSettings as error:
        for fault in error.faults:
            sys.stderr.write(f"binance-sidecar: {fault}\n")
        for name in settings.unknown(os.environ):
            sys.stderr.write(f"binance-sidecar: {name}: there is no such setting\n")
        if action is _serve:
            _tell(_unusable(error.rest))
        return BAD_SETTINGS


def _serve(chosen: settings.Settings) -> int:
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown(os.environ):
        log.warning("unknown_setting", name=name)
    faults = _unusable(chosen)
    try:
        if not faults:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(chosen))
    except (OSError, ValueError) as error:
        faults = [error]
    _tell(faults)
    if any(isinstance(fault, ValueError) for fault in faults):
        return BAD_SETTINGS
    return 1 if faults else 0


def _unusable(chosen: settings.Settings) -> list[Exception]:
    from proxy.commands.trial import unusable  # noqa: PLC0415 - whoever runs a gateway in another way does without

    return unusable(chosen)


def _tell(faults: Sequence[Exception]) -> None:
    for fault in faults:
        sys.stderr.write(f"binance-sidecar: cannot start: {fault}{_advice(fault)}\n")


def _advice(error: Exception) -> str:
    is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    return "; SIDECAR_PORT and SIDECAR_OPS_PORT choose others" if is_taken else ""


async def _run(chosen: settings.Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second one of them ends the process at once.

    After SIGTERM the readiness probe fails, but new connections are served for a while longer: load balancers need
    that time to notice. SIGINT comes from a person at a terminal, so it skips that wait.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        _handle(number, partial(_on_signal, stopped, number))
    for name in IGNORED_SIGNALS:
        if hasattr(signal, name):  # Windows has none of them
            _handle(signal.Signals[name], partial(log.info, "signal_ignored", signal=name))
    async with run_gateway(chosen) as app:
        return_large_blocks()
        freeze_startup_objects()
        use_large_pages()
        if app.certificate is not None and hasattr(signal, "SIGHUP"):
            _handle(signal.SIGHUP, app.certificate.reload)
        log.info("listening", url=app.url, ops=app.ops_url, venue=chosen.venue_name, version=__version__)
        number = await stopped
        app.draining = True
        log.info("draining", signal=number.name)
        if number is signal.SIGTERM:
            await asyncio.sleep(chosen.shutdown_seconds * LAME_DUCK_SHARE)
    log.info("stopped")


def return_large_blocks() -> None:
    """Let a block of a replaced document go back to the system, and threads share one heap (glibc).

    By itself glibc keeps blocks of up to 32 MB once it has seen one: the size of a second document.
    """
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - not needed until the gateway listens

    library = ctypes.CDLL(None)
    for option, value in MALLOC_OPTIONS if hasattr(library, "mallopt") else ():
        library.mallopt(option, value)


def freeze_startup_objects() -> None:
    """Exempt from garbage collection everything that exists now: it lives as long as the process.

    A full collection stalls the event loop, for about 50 ms with the imported modules and for a few without them.
    """
    gc.freeze()


def _handle(number: signal.Signals, action: Callable[[], object]) -> None:
    """Do this in the event loop whenever the signal comes."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, action)
    except NotImplementedError:  # the event loops of Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))


def _on_signal(stopped: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if stopped.done():
        os._exit(128 + number)
    stopped.set_result(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of uvloop where it is installed: everywhere but on Windows."""
    try:
        import uvloop  # noqa: PLC0415 - optional by platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _check(chosen: settings.Settings) -> int:
    from proxy.commands.running import WHERE, NoAnswer, get, ops_url  # noqa: PLC0415 - `serve` needs none of it

    try:
        get(f"{ops_url(chosen)}/livez", is_probe=True)
    except NoAnswer as error:
        sys.stderr.write(f"binance-sidecar: {error}; {WHERE}\n")
        return 1
    return 0


def _top(chosen: settings.Settings, operand: str | None) -> int:
    from proxy.commands.top import top  # noqa: PLC0415 - `serve` needs none of it

    _show_what_can_be_shown()
    return top(chosen, operand)


def _explain(chosen: settings.Settings, operand: str | None) -> int:
    from proxy.commands.explain import explain  # noqa: PLC0415 - `serve` needs none of it

    _show_what_can_be_shown()
    return explain(chosen, operand)


def _show_what_can_be_shown() -> None:
    """Write `?` for a character that the encoding of the terminal lacks, or that is none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
