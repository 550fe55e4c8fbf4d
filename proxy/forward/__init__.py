"""The raw HTTP/1.1 client for what is forwarded: the bytes go out as they came, and never twice."""
