"""What the settings name outside of themselves, tried before the start: files, a folder, URLs that libraries read.

Owns: one error for each that cannot be used, so that all are told at once. Must not know: what each is for. Ports are
not tried: a program that has one may be about to end.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from proxy.origin.environment_proxy import environment_proxies
from proxy.quota.block_file import make_folder
from proxy.redis_client.opening import open_client
from proxy.server.build import build_certificate
from proxy.settings import Settings


class _Nobody:
    """Counts nothing."""

    def certificate_read(self, *, is_good: bool) -> None:
        """Nothing is read again."""


def unusable(settings: Settings) -> list[Exception]:
    """An OSError or a ValueError for each."""
    found = []
    for trial in (_try_certificate, _try_state_folder, _try_redis, _try_proxies):
        fault = _fault(trial, settings)
        if fault is not None:
            found.append(fault)
    return found


def _fault(trial: Callable[[Settings], None], settings: Settings) -> Exception | None:
    try:
        trial(settings)
    except (OSError, ValueError) as fault:
        return fault
    return None


def _try_certificate(settings: Settings) -> None:
    build_certificate(settings, _Nobody())


def _try_state_folder(settings: Settings) -> None:
    if settings.state_dir is None:
        return
    try:
        make_folder(settings.state_dir)
    except OSError as error:
        raise OSError(f"SIDECAR_STATE_DIR: {error}") from error


def _try_redis(settings: Settings) -> None:
    url = settings.redis_url.get_secret_value()
    if url.startswith(("memory:", "embedded:")):
        return
    try:
        open_client(url, deadline_seconds=settings.redis_seconds)
    except OSError as error:
        raise OSError(f"SIDECAR_REDIS_URL: {error}") from error
    except ValueError as error:
        raise ValueError(f"SIDECAR_REDIS_URL: {error}") from error


def _try_proxies(settings: Settings) -> None:
    for api in settings.apis:
        environment_proxies(settings.upstreams_of(api), os.environ)
