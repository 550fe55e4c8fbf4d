"""Packages of others whose own code waits until somebody asks for a name that it defines.

Owns: the wait. Must not know: which packages wait, who asks.

`import redis.asyncio.client` first runs `redis/__init__.py`, which imports the blocking client, Sentinel and Cluster. A
deferred package is there without that: its modules can be imported one by one. Its own code runs when somebody asks for
anything else in it, so whoever shares this process with us notices nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """A package whose own code has not run."""

    def __getattr__(self, name: str) -> Any:
        """What is asked for and not there: one of its modules, or else a name that its code defines."""
        spec = self.__spec__
        is_internal = name.startswith("__") and name != "__version__"
        if spec is None or spec.loader is None or is_internal:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if not name.startswith("__") and find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment] # from now on it is like any other
        spec.loader.exec_module(self)
        return getattr(self, name)


def defer(name: str, **known: object) -> None:
    """Let a package wait. `known`: names that its code would define, and what they are. Imports the package above it.

    Nothing happens where it was imported before. Raises ModuleNotFoundError if there is no such package.
    """
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    vars(module).update(known)
    sys.modules[name] = module
    above, _, last = name.rpartition(".")
    if above:
        setattr(sys.modules[above], last, module)
