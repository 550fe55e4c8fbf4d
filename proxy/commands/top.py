"""`binance-sidecar top`: the status page on a terminal. It needs rich, which the extra `top` installs.

Owns: the sentence where rich is missing, which gateway is shown. Must not know: what is shown and when.
"""

from __future__ import annotations

import sys

from proxy.commands.running import WHERE, ops_url
from proxy.settings import Settings

MISSING = (
    "top needs the package rich: in a checkout `make install` installs it, "
    "elsewhere `pip install --require-hashes -r deploy/top-requirements.lock`"
)


def top(settings: Settings, url: str | None) -> int:
    """Show the gateway at `url`, by default that with these settings, until Ctrl-C. Returns the exit status."""
    try:
        from proxy.commands.terminal import show  # noqa: PLC0415 - only `top` needs rich, and it may be missing
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        sys.stderr.write(f"binance-sidecar: {MISSING}\n")
        return 1
    if url and "://" not in url:
        url = f"http://{url}"
    if url:
        return show(url)
    return show(ops_url(settings), certificate=settings.tls_cert_file, hint=f"; {WHERE}")
