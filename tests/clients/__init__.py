"""Proof that the clients which bots are written with work against the gateway as they are.

`python -m tests.clients` (`make clients`) installs them in a virtual environment of their own, away from the project's.
"""
