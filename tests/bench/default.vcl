# @port@ is filled in.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@port@";
}

sub vcl_recv {
    if (req.http.Accept-Encoding ~ "gzip") {
        set req.http.Accept-Encoding = "gzip";
    } else {
        unset req.http.Accept-Encoding;
    }
    if (req.url !~ "^/api/v3/(exchangeInfo|executionRules)") {
        return (pass);
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    hash_data(req.http.Accept-Encoding);
    return (lookup);
}

sub vcl_backend_response {
    unset beresp.http.Vary;
    unset beresp.http.Set-Cookie;
    if (beresp.status == 200) {
        set beresp.ttl = 60s;
        set beresp.grace = 24h;
    } else {
        set beresp.ttl = 0s;
    }
    return (deliver);
}
