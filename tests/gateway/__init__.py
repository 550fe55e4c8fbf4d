"""The whole gateway on real sockets, in front of the stand-in: what clients ask, what the origin sees."""

from __future__ import annotations
