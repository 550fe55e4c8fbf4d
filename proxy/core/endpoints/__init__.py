"""What each API offers, as tables of data: one module an API."""
