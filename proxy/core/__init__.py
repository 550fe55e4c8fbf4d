"""The sans-IO core: what is decided, and nothing that does it.

Nothing in here knows a clock, a socket, a file, randomness or a log. Time is the parameter `now`, in seconds
since the Unix epoch.
"""
