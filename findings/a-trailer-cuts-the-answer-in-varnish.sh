#!/usr/bin/env bash
# Varnish cuts an answer in chunks that has a trailer, or makes a 503 of it.
#
# Expected: a trailer behind the last chunk (Server-Timing, a checksum) is passed on or dropped, and a chunk extension is to be
#           ignored (RFC 9112, 7.1). The body arrives.
# Happens:  Varnish answers 503, or sends its 200 and breaks off before the last chunk so that clients raise "incomplete", by the
#           moment at which the end comes in. It does so for a trailer and for a chunk extension, keeps nothing and asks
#           again each time, while the gateway's own log shows 200. nginx, HAProxy, Squid, Apache and Traffic Server pass the
#           body on and keep it.
# Seen with: Varnish 7.1.1, nginx 1.22.1, HAProxy 2.6.12, Squid 5.7, Apache 2.4.71, Traffic Server 9.2.5+ds-0+deb12u4 (all of
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


BODIES = {"plain": (b"", b"2\r\n{}\r\n0\r\n\r\n"), "extension": (b"", b"2;part=one\r\n{}\r\n0\r\n\r\n"),
          "trailer": (b"Trailer: Server-Timing\r\n", b"2\r\n{}\r\n0\r\nServer-Timing: total;dur=1\r\n\r\n")}
asked = []


class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                kind = line.split()[1].decode().strip("/")
                asked.append(kind)
                date = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()
                header, body = BODIES[kind]
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + date + header + b"Cache-Control: max-age=60\r\nContent-Type:"
                                 b" application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def ask(port, kind):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    client.request("GET", f"/{kind}", headers={"Host": "gateway", "Connection": "close"})
    answer = client.getresponse()
    try:
        body = answer.read().decode()
    except http.client.IncompleteRead:
        body = "cut"
    client.close()
    time.sleep(0.1)
    return f"{answer.status} {body}" if answer.status == 200 else str(answer.status)


socketserver.ThreadingTCPServer.daemon_threads = True
origin = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
upstream = origin.server_address[1]
try:
    ports = [(make.__name__, make(upstream)) for make in (nginx, haproxy, squid, varnish, apache, trafficserver)]
    for name, port in ports:
        for kind in BODIES:
            asked.clear()
            seen = {ask(port, kind) for _ in range(3)}
            wrong = name == "varnish" and kind != "plain"
            good = len(asked) == 3 and seen <= {"200 cut", "503"} if wrong else len(asked) == 1 and seen == {"200 {}"}
            changed += not good
            print(f"{name:13} {kind:9} {', '.join(sorted(seen))}, asked {len(asked)} of 3 times {'' if good else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
