"""The HTTP side: listeners, traffic, probes. Knows aiohttp.web; the rest of the package does not."""
