"""The connection to Redis: URLs, deadlines, the circuit breaker, and the embedded server."""
