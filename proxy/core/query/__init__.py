"""The client's query: raw query and headers become a canonical query, a refusal or a bypass."""
