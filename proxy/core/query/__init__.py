"""What a client asked: a raw query and headers become a canonical query, a refusal or a bypass."""
