"""Entries: stored in this process and in Redis, filled by one replica at a time, refreshed in the background."""
