"""The sans-IO core: all decisions, and no I/O.

No module in here uses a clock, a socket, a file, randomness or a log. Time is the parameter `now`, in seconds since
the Unix epoch.
"""
