#!/usr/bin/env bash
# In nginx, Apache and Squid each spelling of Accept-Encoding has a copy of its own, and HAProxy keeps nothing that
# varies.
#
# Expected: an answer with Vary: Accept-Encoding is kept once, or once for each coding. Five clients that all take gzip
#           share it.
# Happens:  nginx, Apache and Squid compare the text of the header. requests, aiohttp, got, curl and a browser name
#           other codings besides gzip, so each of them costs a call and its weight, and what one has filled helps none
#           of the others. Varnish and Traffic Server cut the header down to gzip and share. HAProxy keeps no answer
#           with Vary at all until process-vary is on, and shares then; Vary: Origin it does not keep even so. A proxy
#           in front should set Accept-Encoding to one text.
# Seen with: nginx 1.22.1, Apache 2.4.71, Squid 5.7, Varnish 7.1.1, Traffic Server 9.2.5+ds-0+deb12u4, HAProxy 2.6.12
#           (all of Debian 12). Varnish needs gcc to run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'haproxy=2.6.12-*' liblua5.3-0 \
    libopentracing-c-wrapper0 libopentracing1 'squid=5.7-*' 'squid-common=5.7-*' libecap3 libltdl7 'varnish=7.1.1-*' \
    'libvarnishapi3=7.1.1-*' libjemalloc2 'apache2-bin=2.4.*' libapr1 libaprutil1 'trafficserver=9.2.5+ds-*' \
    libhwloc15 libpcre3 libyaml-cpp0.7)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import contextlib, glob, http.client, os, re, shutil, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
os.chmod(work, 0o755)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{work}/unpacked/**/*-linux-gnu", recursive=True) + [f"{root}/lib/trafficserver"])
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


def folder(name):
    (work / name).mkdir()
    os.chmod(work / name, 0o777)
    return work / name


def nginx(upstream):
    port = free_port()
    paths = "".join(f"{one}_temp_path {work}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = file("nginx.conf", f"daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/log;"
                f"events {{}} http {{ access_log off; {paths} proxy_cache_path {work}/nginx keys_zone=zone:1m;"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_cache zone;"
                f"proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


def haproxy(upstream, more=""):
    port = free_port()
    conf = file(f"haproxy{port}.cfg", "cache shared\n total-max-size 4\n max-age 600\n" + more +
                "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"listen gateway\n bind 127.0.0.1:{port}\n http-request cache-use shared\n"
                f" http-response cache-store shared\n server origin 127.0.0.1:{upstream}\n")
    return start([root / "sbin/haproxy", "-f", conf, "-db"], port)


def squid(upstream):
    port, place, share = free_port(), folder("squid"), root / "share/squid"
    folder("squid/errors")
    pages = set(re.findall(rb"ERR_[A-Z_]+[A-Z]|MGR_INDEX", (root / "sbin/squid").read_bytes())) | {b"error-details.txt"}
    for page in pages:
        file(f"squid/errors/{page.decode()}", "%c")
    conf = file("squid.conf", f"http_port 127.0.0.1:{port} accel defaultsite=gateway no-vhost\n"
                f"cache_peer 127.0.0.1 parent {upstream} 0 no-query no-digest no-netdb-exchange originserver\n"
                f"http_access allow all\nicp_port 0\npid_filename {place}/pid\naccess_log none\ncache_log {place}/log\n"
                f"mime_table {share}/mime.conf\nicon_directory {share}/icons\nerror_directory {place}/errors\n"
                f"visible_hostname gateway\ncoredump_dir {place}\nnetdb_filename none\npinger_enable off\n"
                "unlinkd_program /bin/true\nlogfile_daemon /bin/true\nshutdown_lifetime 0 seconds\ncache_mem 8 MB\n")
    return start([root / "sbin/squid", "-N", "-f", conf, "-n", f"squid{port}"], port)


def varnish(upstream):
    port = free_port()
    conf = file("varnish.vcl", f"vcl 4.1; backend origin {{ .host = \"127.0.0.1\"; .port = \"{upstream}\"; }}")
    return start([root / "sbin/varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", conf, "-n", work / "varnish", "-s",
                  "malloc,8m", "-T", "none", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5"], port)


def apache(upstream):
    port = free_port()
    modules = "".join(f"LoadModule {one}_module {root}/lib/apache2/modules/mod_{one}.so\n" for one in
                      ("mpm_event", "authz_core", "proxy", "proxy_http", "cache", "cache_disk"))
    conf = file("apache.conf", f"ServerRoot {work}\nServerName gateway\nListen 127.0.0.1:{port}\n"
                f"PidFile {work}/apache.pid\nErrorLog {work}/log\n{modules}DefaultRuntimeDir {work}\nUser nobody\nGroup nogroup\n"
                f"CacheRoot {folder('apache')}\nCacheEnable disk /\nProxyPass / http://127.0.0.1:{upstream}/\n")
    return start([root / "sbin/apache2", "-f", conf, "-DFOREGROUND"], port)


def trafficserver(upstream):
    port, place = free_port(), folder("trafficserver")
    shutil.copytree(work / "unpacked/etc/trafficserver", place / "etc")
    for name in ("log", "run", "cache"):
        folder(f"trafficserver/{name}")
    file("trafficserver/etc/storage.config", f"{place}/cache 16M\n")
    file("trafficserver/etc/remap.config", f"map / http://127.0.0.1:{upstream}/\n")
    settings = (f"http.server_ports STRING {port}:ip-in=127.0.0.1", "admin.user_id STRING nobody",
                "exec_thread.autoconfig.enabled INT 0", "exec_thread.limit INT 1", "log.logging_enabled INT 0",
                "cache.ram_cache.size INT 4M", "crash_log_helper STRING NULL",
                f"body_factory.template_sets_dir STRING {place}/etc/body_factory")
    file("trafficserver/etc/records.config", "".join(f"CONFIG proxy.config.{one}\n" for one in settings))
    folders = {"prefix": place, "exec_prefix": root, "bindir": root / "bin", "sbindir": root / "bin",
               "sysconfdir": place / "etc", "datadir": place / "cache", "includedir": place,
               "libdir": root / "lib/trafficserver", "libexecdir": root / "lib/trafficserver/modules",
               "localstatedir": place / "run", "runtimedir": place / "run", "logdir": place / "log",
               "cachedir": place / "cache"}
    tree = file("trafficserver/runroot.yaml", "".join(f"{name}: {path}\n" for name, path in folders.items()))
    return start([root / "bin/traffic_server", f"--run-root={tree}"], port)


ACCEPTED = ("gzip", "gzip, deflate", "gzip, deflate, br", "deflate, gzip, br, zstd", "gzip, deflate, br, zstd")
# Asked for five clients with each their Accept-Encoding, and for one client three times from one Origin.
EXPECTED = {
    "nginx": (5, 1), "squid": (5, 1), "varnish": (1, 1), "apache": (5, 1), "trafficserver": (1, 1), "haproxy": (5, 3),
    "haproxy, process-vary": (1, 3),
}
asked = []


def answer(path):
    asked.append(path)
    return 200, f"Cache-Control: max-age=60\r\nVary: {path.strip('/')}\r\n", "{}"


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                path = line.split()[1].decode()
                while self.rfile.readline().strip():
                    pass
                status, headers, body = answer(path)
                if status is None:
                    return
                date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
                self.wfile.write(f"HTTP/1.1 {status} So\r\nDate: {date}\r\n{headers}Content-Type: application/json\r\n"
                                 f"Content-Length: {len(body)}\r\n\r\n{body}".encode())


def ask(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", path, headers={"Host": "gateway", "Connection": "close"})
    answer = client.getresponse()
    body = answer.read().decode()
    client.close()
    return answer, body


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
def count(port, header, values):
    asked.clear()
    for value in values:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        client.request("GET", f"/{header}", headers={"Host": "gateway", "Connection": "close", header: value})
        client.getresponse().read()
        client.close()
        time.sleep(0.05)
    return asked.count(f"/{header}")


try:
    ports = {make.__name__: make(upstream) for make in (nginx, squid, varnish, apache, trafficserver, haproxy)}
    ports["haproxy, process-vary"] = haproxy(upstream, " process-vary on\n")
    for name, port in ports.items():
        seen = count(port, "Accept-Encoding", ACCEPTED), count(port, "Origin", ["https://bot.example"] * 3)
        changed += seen != EXPECTED[name]
        print(f"{name:22} gateway asked {seen[0]} times for five clients, {seen[1]} times for three calls of one Origin"
              f" {'' if seen == EXPECTED[name] else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
