"""Entries: kept in this process and in Redis, filled once at a time, refreshed in the background."""
