#!/usr/bin/env bash
# A leftover "Pragma: no-cache" or "Expires: 0" keeps an answer out of some caches, by the order of header lines.
#
# Expected: Cache-Control: max-age=60 decides alone: Expires is to be ignored beside max-age, and Pragma has no meaning
#           in an answer (RFC 9111, 5.3 and 5.4).
# Happens:  HAProxy and Apache keep nothing that has Pragma: no-cache; nginx and Varnish do. nginx keeps nothing if
#           Expires: 0 stands above Cache-Control, and keeps it if it stands below; HAProxy, Varnish and Apache keep both.
#           No cache says why. Many origins send both lines, so a gateway that sets its own Cache-Control must take
#           Pragma and Expires away.
# Seen with: nginx 1.22.1, HAProxy 2.6.12, Varnish 7.1.1, Apache 2.4.71 (Debian 12). Varnish needs gcc to run.
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
MAX_AGE = "Cache-Control: max-age=60\r\n"
ANSWERS = {
    "/alone": (200, MAX_AGE), "/pragma": (200, MAX_AGE + "Pragma: no-cache\r\n"),
    "/expires-above": (200, "Expires: 0\r\n" + MAX_AGE), "/expires-below": (200, MAX_AGE + "Expires: 0\r\n"),
}
EXPECTED = {
    "nginx": (True, True, False, True), "haproxy": (True, False, True, True),
    "varnish": (True, True, True, True), "apache": (True, False, True, True),
}


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
    for make in (nginx, haproxy, varnish, apache):
        port, row = make(upstream), []
        for path, expected in zip(ANSWERS, EXPECTED[make.__name__]):
            asked.clear()
            for _ in range(3):
                ask(port, path)
                time.sleep(0.05)
            kept = asked[path] == 1
            changed += kept != expected
            row.append(f"{path[1:]} {'kept' if kept else 'not kept'}")
        print(f"{make.__name__:8} {', '.join(row)}")
    print("CHANGED" if changed else "as before")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
