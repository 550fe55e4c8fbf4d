"""What operators see: metrics, logs, request counters and the status report."""
