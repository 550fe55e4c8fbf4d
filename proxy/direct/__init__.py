"""Requests that neither the cache nor a refusal answers, without waiting: from the client to the origin and back.

Owns: which requests go this way. Must not know: HTTP servers and clients, how a quota is kept, what an answer means.

It is a short way through the steps of `proxy.gateway`, and does nothing that the gateway would do otherwise. Whatever
has to wait for anything before it is sent, or is no usual request, is left to the gateway.
"""
