"""The change feed: the streams of changes in Redis, and the readers of this process."""
