"""The status page: one HTML document out of the figures of `/status`.

Owns: what stands on the page, in which order and under which words. Must not know: HTTP, how the figures come about.
All figures stand in the HTML; with `assets/page.js` the page renews them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.page.fields import Scope, facts, section, table
from proxy.page.markup import Markup, join, tag
from proxy.page.words import found

NAME = "binance-sidecar"


def render(status: Mapping[str, Any]) -> str:
    """The page. Takes what `/status` tells."""
    scope = Scope(status, status["now"])
    parts = (_header(scope), _main(scope), _footer())
    body = tag("body", *parts, data_state=status["summary"]["state"])
    return f"<!doctype html>\n{tag('html', _head(status), body, lang='en')}\n"


def _head(status: Mapping[str, Any]) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", f"{status['summary']['title']} - {NAME}"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", type="image/svg+xml", href="page.svg"),
        tag("link", rel="stylesheet", href="page.css"),
        tag("script", src="page.js", defer=True),
    )


def _header(scope: Scope) -> Markup:
    about = (
        ("version ", "version", "text"),
        ("venue ", "venue", "text"),
        ("quota domain ", "quota_domain", "text"),
        ("up for ", "uptime_seconds", "duration"),
    )
    words = (tag("li", name, scope.field(path, how)) for name, path, how in about)
    as_of = tag("p", "As of ", scope.field("now", "moment"), " by Binance's clock. ", _renewal(), class_="as-of")
    return tag("header", tag("h1", NAME), tag("ul", *words, class_="about"), as_of)


def _renewal() -> Markup:
    """The script says here whether the figures are renewed."""
    return join(tag("span", id="renewal", role="status"), tag("noscript", "Reload the page for newer figures."))


def _main(scope: Scope) -> Markup:
    return tag(
        "main",
        _state(scope),
        section("windows", "Rate-limit windows", scope.items("windows", "ul", _window, class_="windows")),
        section("spending", "Who spends", *_spending(scope)),
        section("savings", "What the cache saves", _savings(scope)),
        section("documents", "Documents", *_documents(scope)),
        section("connections", "Redis, replicas and hosts", *_connections(scope)),
        section("events", "Last changes of state", *_events(scope, "events", "Nothing has changed since the start.")),
    )


def _state(scope: Scope) -> Markup:
    heading = tag("h2", tag("span", scope.field("summary.title", name="span"), role="status"), id="state-head")
    worst = tag("div", heading, *_advice(scope, "summary."), class_="worst")
    also = scope.items("summary.also", "ul", _also, class_="also")
    warnings = scope.items("warnings", "ul", lambda item: tag("li", item.field(".", name="span")), class_="warnings")
    return tag("section", worst, also, warnings, id="state", aria_labelledby="state-head")


def _also(item: Scope) -> Markup:
    return tag("li", tag("h3", item.field("title", name="span")), *_advice(item, ""))


def _advice(scope: Scope, prefix: str) -> tuple[Markup, ...]:
    """The sentence, the countdown and what to do of one condition. `prefix`: of its paths."""
    until = f"{prefix}until"
    has_end = scope.item is not None and found(scope.item, until) is not None
    return (
        tag("p", scope.field(f"{prefix}text", name="span")),
        tag("p", "Ends in ", scope.field(until, "left"), ".", class_="ends", hidden=not has_end, data_if=until),
        tag("p", scope.field(f"{prefix}advice", name="span"), class_="advice"),
    )


def _window(item: Scope) -> Markup:
    title = tag("h3", item.field("pool"), " ", tag("span", item.field("window", "window"), class_="window"))
    level = tag("p", item.field(".", "level", "span"), class_="level")
    numbers = {
        "used": ("used", "number"),
        "budget": ("budget", "number"),
        "limit": ("limit", "number"),
        "ends in": ("reset", "left"),
    }
    return tag("li", title, item.gauge(), level, facts(item, numbers))


def _spending(scope: Scope) -> tuple[Markup, ...]:
    clients = {"client": ("client", "text"), "weight spent": ("weight_spent", "number")}
    endpoints = {
        "endpoint": ("endpoint", "text"),
        "weight spent": ("weight_spent", "number"),
        "weight saved": ("weight_saved", "number"),
        "requests": ("requests", "number"),
        "from the cache": ("from_cache", "number"),
    }
    return (
        table(scope, "clients", "Clients, since the start", clients),
        scope.empty("clients", "No client has spent anything yet."),
        table(scope, "endpoints", "Endpoints, since the start", endpoints),
        scope.empty("endpoints", "Nothing was asked yet."),
    )


def _savings(scope: Scope) -> Markup:
    return facts(
        scope,
        {
            "requests answered": ("traffic.requests", "number"),
            "of them without a request to Binance": ("traffic.from_cache", "number"),
            "weight spent": ("traffic.weight_spent", "number"),
            "weight saved": ("traffic.weight_saved", "number"),
        },
    )


def _documents(scope: Scope) -> tuple[Markup, ...]:
    columns = {
        "document": ("endpoint", "text"),
        "age": ("age_seconds", "duration"),
        "fresh for": ("fresh_seconds", "duration"),
        "bytes": ("bytes", "number"),
    }
    return (
        table(scope, "documents", "Documents in this process", columns),
        scope.empty("documents", "No document is stored yet."),
        facts(scope, {"symbols on spot": ("document.symbols", "number")}),
        tag("h3", "Last changes in the documents"),
        *_events(scope, "changes", "No document has changed since the start."),
    )


def _connections(scope: Scope) -> tuple[Markup, ...]:
    redis = {
        "Redis": ("redis.url", "text"),
        "Redis is up": ("redis.up", "yes"),
        "cache shared": ("redis.cache_shared", "yes"),
        "quota shared": ("redis.quota_shared", "yes"),
        "replicas": ("redis.replicas", "number"),
        "Binance's clock less ours, in seconds": ("clock_offset_seconds", "number"),
    }
    hosts = {
        "host": ("host", "text"),
        "API": ("api", "text"),
        "healthy": ("healthy", "yes"),
        "proxy": ("proxy", "text"),
    }
    return facts(scope, redis), table(scope, "upstreams", "Hosts of Binance", hosts)


def _events(scope: Scope, path: str, nothing: str) -> tuple[Markup, ...]:
    def line(item: Scope) -> Markup:
        return tag("li", item.field("at", "moment"), " ", item.field("text", name="span"))

    return scope.items(path, "ol", line, class_="events"), scope.empty(path, nothing)


def _footer() -> Markup:
    links = (tag("li", tag("a", f"/{name}", href=name)) for name in ("status", "metrics", "readyz"))
    return tag("footer", tag("nav", tag("ul", *links), aria_label="The same for programs"))
