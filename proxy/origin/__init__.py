"""Requests to the origin: the HTTP client, and the quota that guards it."""
