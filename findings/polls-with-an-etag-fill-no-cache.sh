#!/usr/bin/env bash
# Clients that poll with If-None-Match never fill the cache of Squid, HAProxy or Apache: each poll goes to the gateway.
#
# Expected: of ten polls for the same exchange information within max-age one goes to the gateway, whatever the clients hold. A
#           client that sends its ETag saves bytes and costs nobody anything.
# Happens:  if the cache does not hold the answer, these three pass If-None-Match on, get 304, hand it over and keep nothing.
#           So ten polls of clients that hold an ETag are ten requests and ten times the weight, until somebody
#           comes without one, as after each restart of the cache. nginx, Varnish and Traffic Server take the header
#           away, keep the 200 and answer 304 themselves.
# Seen with: Squid 5.7, HAProxy 2.6.12, Apache 2.4.71, nginx 1.22.1, Varnish 7.1.1, Traffic Server 9.2.5+ds-0+deb12u4 (all of
#           Debian 12). Varnish needs gcc to run.
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


def haproxy(upstream):
    port = free_port()
    conf = file("haproxy.cfg", "cache shared\n total-max-size 4\n max-age 600\n"
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


# Requests at the gateway for ten polls with an ETag, and for ten more after one without.
EXPECTED = {"nginx": (1, 0), "haproxy": (10, 0), "squid": (10, 0), "varnish": (1, 0), "apache": (10, 0),
            "trafficserver": (1, 0)}
asked = []


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.rfile.readline():
                held = False
                while head := self.rfile.readline().strip().lower():
                    held |= head.startswith(b"if-none-match")
                asked.append(held)
                date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
                start, end = ("304 Not Modified", "\r\n") if held else (
                    "200 OK", "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                self.wfile.write(f'HTTP/1.1 {start}\r\nDate: {date}\r\nETag: "one"\r\nCache-Control: max-age=60\r\n{end}'
                                 .encode())


def poll(port, **headers):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", "/exchangeInfo", headers={"Host": "gateway", "Connection": "close", **headers})
    answer = client.getresponse()
    answer.read()
    client.close()
    time.sleep(0.02)
    return answer.status


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
try:
    ports = [(make.__name__, make(upstream)) for make in (nginx, haproxy, squid, varnish, apache, trafficserver)]
    for name, port in ports:
        counts, statuses = [], set()
        for _ in range(2):
            asked.clear()
            statuses |= {poll(port, **{"If-None-Match": '"one"'}) for _ in range(10)}
            counts.append(len(asked))
            poll(port)
            time.sleep(0.2)
        good = tuple(counts) == EXPECTED[name] and statuses == {304}
        changed += not good
        print(f"{name:13} ten polls with an ETag: {counts[0]} at the gateway, after one without: {counts[1]},"
              f" all answered {statuses} {'' if good else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
