"""The quota as pure models: windows, budget, blocks, client shares, replicas, and the origin's headers."""
