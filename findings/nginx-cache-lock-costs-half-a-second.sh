#!/usr/bin/env bash
# With nginx's proxy_cache_lock the callers who wait get an answer of 50 ms after 500 ms, and no-store one after the
# other.
#
# Expected: of eight callers that ask for the same price at once one goes to the gateway, and the others get its answer
#           as soon as it is there, as they do in Varnish, Squid and Traffic Server.
# Happens:  nginx lets those who wait look again every half second. The answer came after 50 ms, they get it after 500.
#           If it may not be kept (no-store, or a 429), they look, one of them may go, and the others wait again: the
#           last of eight has it after 3.5 s, and the limit is proxy_cache_lock_timeout, 5 s. The lock that was to spare
#           weight in a rush makes the rush of refusals slow.
# Seen with: nginx 1.22.1, Varnish 7.1.1, Squid 5.7 with collapsed_forwarding (all of Debian 12). Varnish needs gcc to
#           run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'nginx=1.22.1-*' 'squid=5.7-*' 'squid-common=5.7-*' \
    libecap3 libltdl7 'varnish=7.1.1-*' 'libvarnishapi3=7.1.1-*' libjemalloc2)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import concurrent.futures, contextlib, glob, http.client, os, re, shutil, signal, socket, socketserver, subprocess, sys, threading, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
root = work / "unpacked/usr"
os.chmod(work, 0o755)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def start(command, port):
    libraries = ":".join(glob.glob(f"{work}/unpacked/**/*-linux-gnu", recursive=True))
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
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_cache zone; proxy_cache_lock on;"
                f"proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n")
    return start([root / "sbin/nginx", "-p", work, "-c", conf, "-e", work / "log"], port)


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
                "unlinkd_program /bin/true\nlogfile_daemon /bin/true\nshutdown_lifetime 0 seconds\n"
                "cache_mem 8 MB\ncollapsed_forwarding on\n")
    return start([root / "sbin/squid", "-N", "-f", conf, "-n", f"squid{port}"], port)


def varnish(upstream):
    port = free_port()
    conf = file("varnish.vcl", f"vcl 4.1; backend origin {{ .host = \"127.0.0.1\"; .port = \"{upstream}\"; }}")
    return start([root / "sbin/varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", conf, "-n", work / "varnish", "-s",
                  "malloc,8m", "-T", "none", "-j", "none", "-p", "thread_pools=1", "-p", "thread_pool_min=5"], port)


CALLERS = 8
# Asked at the gateway, and the slowest of the callers in ms, at least and at most.
EXPECTED = {
    "nginx": ((1, 400, 900), (CALLERS, 2500, 5500)), "squid": ((1, 40, 400), (CALLERS, 40, 400)),
    "varnish": ((1, 40, 400), (CALLERS, 40, 400)),
}
asked = []


def answer(path):
    asked.append(path)
    time.sleep(0.05)
    return 200, f"Cache-Control: {path.partition('-')[2]}\r\n", "{}"


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
def rush(port, path):
    """Ask at once; how often the gateway was asked, and how long the callers took, in ms."""
    def one(_):
        began = time.monotonic()
        ask(port, path)
        return round((time.monotonic() - began) * 1000)
    asked.clear()
    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        took = sorted(callers.map(one, range(CALLERS)))
    return asked.count(path), took


try:
    for make in (nginx, squid, varnish):
        port = make(upstream)
        ask(port, "/first-no-store")
        for path, (times, least, most) in zip(("/price-max-age=60", "/other-no-store"), EXPECTED[make.__name__]):
            count, took = rush(port, path)
            good = count == times and least <= took[-1] <= most
            changed += not good
            print(f"{make.__name__:8} {path.partition('-')[2]:10} gateway asked {count} times, callers wait"
                  f" {', '.join(map(str, took))} ms {'' if good else 'CHANGED'}")
finally:
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.5)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
