"""schemathesis on `/openapi.json`, against the gateway before the stand-in."""
