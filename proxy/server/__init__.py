"""The HTTP side: listeners, traffic, probes. Knows aiohttp's server; the rest of the package does not."""
