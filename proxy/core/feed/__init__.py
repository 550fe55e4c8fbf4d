"""The change feed: positions, records, what a reader selects, and the log of the last changes."""
