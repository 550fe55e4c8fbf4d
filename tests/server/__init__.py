"""The traffic listener seen from raw sockets: what the fast lane must not change."""

from __future__ import annotations
