"""The status page for people: HTML out of the figures of `/status`."""
