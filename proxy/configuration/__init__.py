"""How a setting is written: kinds of values, and flags."""
