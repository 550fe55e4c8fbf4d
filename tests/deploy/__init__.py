"""What an operator installs, tested with the tools that an operator uses."""

from __future__ import annotations
