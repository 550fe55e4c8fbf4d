"""The cache's decisions: freshness, how a wait for a fill ends, when to refresh, which fills failed recently."""
