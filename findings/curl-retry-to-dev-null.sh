#!/usr/bin/env bash
# curl --retry with -o /dev/null never retries: it ends at once with code 23.
#
# Expected: the usual health probe, curl -s -o /dev/null --retry 3 URL, waits for Retry-After and asks again
#           after a 503 or 429.
# Happens:  before the retry curl cuts its output file to the old length. /dev/null cannot be cut, so curl
#           gives up with "Failed to truncate file" and code 23, after one request and no wait. Three near
#           forms do retry: the shell's > /dev/null, -o with a real file, and -f (no body is written).
# Seen with: curl 7.88.1 of Debian 12.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'curl=7.88.1-*' 'libcurl4=7.88.1-*' \
    libnghttp2-14 librtmp1 libssh2-1 libpsl5 libldap-2.5-0 libsasl2-2 libbrotli1)
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
timeout 50 python3 - "$work" <<'PY'
import glob, os, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

work = sys.argv[1]
curl = f"{work}/unpacked/usr/bin/curl"
environment = dict(os.environ, LD_LIBRARY_PATH=":".join(glob.glob(f"{work}/unpacked/usr/lib/*-linux-gnu")))
count = 0


class Busy(BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        self.send_response(503)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(subprocess.run([curl, "-V"], env=environment, capture_output=True, text=True).stdout.split(" (")[0])
changed = 0
for label, options, expected in (
    ("-o /dev/null", ["-o", "/dev/null"], (1, 23)),
    ("-f -o /dev/null", ["-f", "-o", "/dev/null"], (3, 22)),
    ("-o file", ["-o", f"{work}/body"], (3, 0)),
    ("> /dev/null", [], (3, 0)),
):
    count, begun = 0, time.monotonic()
    ended = subprocess.run(
        [curl, "-sS", "--retry", "2", *options, f"http://127.0.0.1:{server.server_port}/"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    seen = (count, ended.returncode)
    changed += seen != expected
    message = ended.stderr.strip().splitlines()[-1:] or [""]
    print(f"{label:16} {seen[0]} requests, code {seen[1]:2}, {time.monotonic() - begun:.1f} s  {message[0]}"
          f"{'' if seen == expected else f'  CHANGED, was {expected}'}")
server.shutdown()
sys.exit(changed > 0)
PY
