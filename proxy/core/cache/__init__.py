"""Decisions of the cache: freshness, waiting for a fill, when to refresh, what failed lately."""
