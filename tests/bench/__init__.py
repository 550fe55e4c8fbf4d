"""`make bench`: the gateway beside nginx and Varnish, on one machine, under the same load."""

from __future__ import annotations
