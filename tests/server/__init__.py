"""The traffic listener seen from raw sockets: what the fast path must not change."""

from __future__ import annotations
