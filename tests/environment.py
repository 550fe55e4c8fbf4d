"""What demonstrations change about their own process before they start.

Owns: its environment and its limits. Must not know: what is demonstrated.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, MutableMapping
from typing import Any

from proxy.configuration.reading import PREFIX
from proxy.settings import Settings

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def forget_settings(environment: MutableMapping[str, str]) -> None:
    """Drop the gateway's settings and proxies: those of the shell are for the real one, a demonstration has its own."""
    for name in [name for name in environment if name.upper().startswith(PREFIX)]:
        del environment[name]
    forget_proxies(environment)


def forget_proxies(environment: MutableMapping[str, str]) -> None:
    """Drop the HTTP proxies of the shell: whatever a test or a demonstration asks is on this machine."""
    for name in [name for name in environment if name.lower() in _PROXIES]:
        del environment[name]


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without the gateway's settings, for a gateway in a process of its own."""
    chosen = dict(environment)
    forget_settings(chosen)
    return chosen


def allow_open_files(wanted: int) -> None:
    """Raise the soft limit of open files as far as the hard one allows. macOS grants 256 unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def settings_of(**given: Any) -> Settings:
    """Settings from values; a text is read like that of a variable."""
    fields = Settings.__dataclass_fields__
    read = {name: fields[name].metadata["kind"].read(value) for name, value in given.items() if isinstance(value, str)}
    return Settings(**(given | read))
