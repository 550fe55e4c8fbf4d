"""The way to the origin: the HTTP client, and the guard that lets nothing past the quota."""
