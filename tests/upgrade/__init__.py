"""Versions side by side. Owns: what replicas of an earlier version and of this one must share."""
