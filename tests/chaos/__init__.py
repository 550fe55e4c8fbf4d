"""Real gateway processes, real servers, and what can go wrong between them. `python -m tests.chaos` takes its time."""
