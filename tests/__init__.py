"""Tests of the gateway and of its stand-in for Binance."""
