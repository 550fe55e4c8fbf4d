"""One small program for each client: it asks for market data, and prints a line of JSON for each call.

`python -m tests.clients.programs.ccxt_sync http://127.0.0.1:9080`, or `node tests/clients/programs/ccxt.cjs URL`. The
base URL is all that differs from how the client is used at Binance. Ranges are fixed, so that answers can be compared.
"""
