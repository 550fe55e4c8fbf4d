#!/usr/bin/env bash
# nginx and HAProxy keep an answer for its full max-age again, however old it already is.
#
# Expected: an answer with Cache-Control: max-age=60 and Age: 58 has two seconds left (RFC 9111, 4.2.3), so a cache asks
#           again after them.
# Happens:  Varnish and Apache ask again after the two seconds. nginx and HAProxy do not look at Age: they keep it for
#           60 s more, so two caches in a row serve data twice as old as allowed, three of them thrice. nginx passes the
#           stored Age on unchanged, so it says 58 at each hit of that minute and the next cache believes it. HAProxy
#           counts on (62 after four seconds), and serves the answer all the same though that is over max-age.
# Seen with: nginx 1.22.1, HAProxy 2.6.12, Varnish 7.1.1 (grace off), Apache 2.4.71 (Debian 12). Varnish needs gcc.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 'varnish=7.1.1-*' 'libvarnishapi3=7.1.1-*' libjemalloc2 \
    'apache2-bin=2.4.*' libapr1 libaprutil1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
ANSWERS = {"/": (200, "Cache-Control: max-age=60\r\nAge: 58\r\n")}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{root}/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, env=dict(os.environ, LD_LIBRARY_PATH=libraries), stdout=log,
                                        stderr=log, start_new_session=True))
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
                f"events {{}} http {{ access_log off; {paths} proxy_cache_path {work}/nginx keys_zone=zone:1m;"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_cache zone;"
                f"proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def haproxy(upstream):
    port = free_port()
    conf = file("haproxy.cfg", "cache shared\n total-max-size 4\n max-age 600\n"
                "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n http-request cache-use shared\n"
                f" http-response cache-store shared\n server origin 127.0.0.1:{upstream}\n")
    return start([root / "sbin/haproxy", "-f", conf, "-db"], port)


def varnish(upstream):
    port = free_port()
    conf = file("varnish.vcl", f"vcl 4.1; backend origin {{ .host = \"127.0.0.1\"; .port = \"{upstream}\"; }}"
                " sub vcl_backend_response { set beresp.grace = 0s; }")
    return start([root / "sbin/varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", conf, "-n", work / "varnish", "-s",
                  "malloc,8m", "-T", "none", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5"], port)


def apache(upstream):
    port = free_port()
    (work / "apache").mkdir(mode=0o777)
    os.chmod(work / "apache", 0o777)
    os.chmod(work, 0o755)
    modules = "".join(f"LoadModule {one}_module {root}/lib/apache2/modules/mod_{one}.so\n" for one in
                      ("mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk"))
    conf = file("apache.conf", f"ServerRoot {work}\nServerName gateway\nListen 127.0.0.1:{port}\nPidFile {work}/apache.pid\n"
                f"ErrorLog {work}/log\n{modules}DefaultRuntimeDir {work}\nUser nobody\nGroup nogroup\n"
                f"CacheRoot {work}/apache\nCacheEnable disk /\nProxyPass / http://127.0.0.1:{upstream}/\n")
    return start([root / "sbin/apache2", "-f", conf, "-DFOREGROUND"], port)



class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        path = ""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                if line.startswith(b"GET"):
                    path = line.split()[1].decode()
                if line == b"\r\n":
                    asked[path] = asked.get(path, 0) + 1
                    status, head = ANSWERS.get(path.split("?")[0], (200, ""))
                    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
                    self.wfile.write(f"HTTP/1.1 {status} Status\r\nDate: {date}\r\n{head}Content-Type: application/json\r\n"
                                     "Content-Length: 2\r\n\r\n{}".encode())


def ask(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path, headers={"Host": "gateway", "Connection": "close"})
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.headers


asked = {}
socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
try:
    ports = {make.__name__: make(upstream) for make in (nginx, haproxy, varnish, apache)}
    for name, port in ports.items():
        ask(port, f"/?{name}")
        ask(port, f"/?{name}")
    first = dict(asked)
    time.sleep(4)
    for name, expected in (("nginx", 1), ("haproxy", 1), ("varnish", 2), ("apache", 2)):
        ages = ask(ports[name], f"/?{name}").get_all("Age")
        seen = asked[f"/?{name}"]
        good = seen == expected and first[f"/?{name}"] == 1
        changed += not good
        print(f"{name:8} origin asked {seen} times in 4 s, Age header then {ages} {'' if good else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
