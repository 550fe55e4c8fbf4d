"""The gateway that runs with these settings, as another process on this machine reaches it.

Owns: its address, and one request to it. Must not know: what is asked for, what is done with the answer.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.settings import Settings

if TYPE_CHECKING:
    import ssl

WHERE = "SIDECAR_OPS_PORT, else SIDECAR_PORT, says where it is asked"
"""What to look at if the gateway with these settings does not answer."""
PATIENCE_SECONDS = 3.0
MAX_BYTES = 4 << 20
"""More than any status has: 100 entries, 50 events and as many changes."""
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class NoAnswer(Exception):
    """The gateway did not answer, or something else answered. The text says which."""


def ops_url(settings: Settings) -> str:
    """The base URL of probes, metrics and status."""
    has_own_listener = settings.ops_port is not None
    host = (settings.ops_host or settings.host) if has_own_listener else settings.host
    port = settings.ops_port if has_own_listener else settings.port
    scheme = "http" if has_own_listener or settings.tls_cert_file is None else "https"
    return f"{scheme}://{_REACHABLE.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def get(url: str, *, is_probe: bool = False, certificate: Path | None = None) -> bytes:
    """The body of a good answer. Ignores the HTTP proxy of the environment. Raises NoAnswer.

    The gateway's certificate is one for Binance's names, which are not the name that it is asked by here.
    `is_probe`: no certificate is verified, as the kubelet verifies none. `certificate`: the only one that is trusted.
    """
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith("https:") and (is_probe or certificate is not None):
        try:
            handlers.append(urllib.request.HTTPSHandler(context=_context(certificate)))
        except OSError as error:
            raise NoAnswer(f"{url}: SIDECAR_TLS_CERT_FILE={certificate}: {_reason(error)}") from error
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(url, timeout=PATIENCE_SECONDS) as response:
            body: bytes = response.read(MAX_BYTES)
            if response.length:  # what was promised and did not come, or is more than may come
                raise http.client.IncompleteRead(body, response.length)
            return body
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoAnswer(f"{url}: {_reason(error)}") from error


def _context(certificate: Path | None) -> ssl.SSLContext:
    """Trusts this certificate only; any, if there is none. Raises OSError; ssl.SSLError is one."""
    import ssl  # noqa: PLC0415 - few gateways have a certificate

    if certificate is None:
        return ssl._create_unverified_context()
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be the authority's
    return context


def _reason(error: Exception) -> str:
    """The words for people: urllib wraps them up."""
    cause = getattr(error, "reason", None)
    if isinstance(cause, OSError):
        error = cause
    told = error.strerror if isinstance(error, OSError) else None
    return told or str(error).strip()


def status_of(base_url: str, *, certificate: Path | None = None) -> dict[str, Any]:
    """What `/status` tells. `certificate`: as in `get`.

    Raises NoAnswer, also for an answer of something that is no gateway of this version.
    """
    url = f"{base_url.rstrip('/')}/status"
    try:
        status = json.loads(get(url, certificate=certificate))
    except ValueError as error:
        raise NoAnswer(f"{url}: this is no status of a gateway") from error
    if not isinstance(status, dict) or "summary" not in status:
        raise NoAnswer(f"{url}: this is no status of a gateway of this version")
    return status
