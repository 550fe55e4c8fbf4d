#!/usr/bin/env bash
# A client that refuses gzip with q=0 gets gzip, from most Python frameworks and from Prometheus's own exporters.
#
# Expected: "Accept-Encoding: identity, gzip;q=0" says that gzip is not acceptable (RFC 9110, 12.4.2), and the answer comes
#           as it is.
# Happens:  prometheus_client, aiohttp's enable_compression(), Starlette, brotli-asgi, Litestar, BlackSheep, Tornado,
#           Django, lighttpd and the Go exporters look for the word gzip alone and send gzip. Flask-Compress sends br to who
#           writes "gzip;q=0, br;q=0". CherryPy, Express's compression, koa-compress and Hono heed the q. So a client that
#           cannot unpack has to leave the word out.
# Seen with: prometheus_client 0.26.0, aiohttp 3.14.5, Starlette 1.10.0, brotli-asgi 1.7.0, Litestar 2.25.0, BlackSheep
#           2.6.4, Tornado 6.6.1, Django 5.2.19, Flask-Compress 1.25, CherryPy 18.10.0, compression 1.8.2 on Express
#           5.3.0, koa-compress 5.2.2, Hono 4.13.19 on Node 20, node exporter 1.5.0, lighttpd 1.4.69 (both of Debian 12).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download 'lighttpd=1.4.69-*' 'lighttpd-mod-deflate=1.4.69-*' \
    'prometheus-node-exporter=1.5.0-*')
for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked"; done
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" prometheus_client==0.26.0 \
    aiohttp==3.14.5 starlette==1.10.0 brotli-asgi==1.7.0 litestar==2.25.0 blacksheep==2.6.4 tornado==6.6.1 \
    django==5.2.19 flask-compress==1.25 cherrypy==18.10.0 uvicorn==0.54.0
npm install --silent --no-audit --no-fund --prefix "$work" express@5.3.0 compression@1.8.2 koa@3.3.0 koa-compress@5.2.2 \
    hono@4.13.19 @hono/node-server@2.1.9
PYTHONPATH="$work/lib" timeout 50 python3 - "$work" <<'PY'
import glob, http.client, os, signal, socket, subprocess, sys, time
from pathlib import Path

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
work, running, changed = Path(sys.argv[1]), [], 0
PYTHON, NODE = [sys.executable, "-W", "ignore", "-c"], ["node", "-e"]
TEXT = 'TEXT = "[" + "1," * 3000 + "1]"\n'
SERVE = '\nimport uvicorn; uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="critical")'
ASGI = TEXT + """from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
app = Starlette(routes=[Route("/", lambda request: PlainTextResponse(TEXT, media_type="application/json"))])
"""
SCRIPT = 'const TEXT = "[" + "1,".repeat(3000) + "1]";'
SERVERS = {
    "prometheus_client": (True, PYTHON, """import prometheus_client, time
prometheus_client.start_http_server(PORT, "127.0.0.1"); time.sleep(60)"""),
    "aiohttp": (True, PYTHON, TEXT + """from aiohttp import web
async def answer(request):
    response = web.Response(text=TEXT); response.enable_compression(); return response
app = web.Application(); app.router.add_get("/", answer); web.run_app(app, host="127.0.0.1", port=PORT, print=None)"""),
    "starlette": (True, PYTHON, ASGI + "from starlette.middleware.gzip import GZipMiddleware\napp = GZipMiddleware(app)" + SERVE),
    "brotli-asgi": (True, PYTHON, ASGI + "from brotli_asgi import BrotliMiddleware\napp = BrotliMiddleware(app)" + SERVE),
    "litestar": (True, PYTHON, TEXT + """from litestar import Litestar, get
from litestar.config.compression import CompressionConfig
async def answer() -> str: return TEXT
app = Litestar([get("/")(answer)], compression_config=CompressionConfig(backend="gzip"))""" + SERVE),
    "blacksheep": (True, PYTHON, TEXT + """from blacksheep import Application, text
from blacksheep.server.compression import use_gzip_compression
app = Application(); use_gzip_compression(app); app.router.add_get("/", lambda: text(TEXT))""" + SERVE),
    "tornado": (True, PYTHON, TEXT + """import tornado.ioloop, tornado.web
class Answer(tornado.web.RequestHandler):
    def get(self): self.set_header("Content-Type", "application/json"); self.write(TEXT)
tornado.web.Application([("/", Answer)], compress_response=True).listen(PORT, "127.0.0.1")
tornado.ioloop.IOLoop.current().start()"""),
    "django": (True, PYTHON, TEXT + """from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"])
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse(TEXT))]
from wsgiref.simple_server import make_server
make_server("127.0.0.1", PORT, get_wsgi_application()).serve_forever()"""),
    "flask-compress": ("br", PYTHON, TEXT + """from flask import Flask, Response
from flask_compress import Compress
app = Flask("app"); Compress(app)
app.get("/")(lambda: Response(TEXT, mimetype="application/json")); app.run("127.0.0.1", PORT)"""),
    "cherrypy": (False, PYTHON, TEXT + """import cherrypy
class Answer:
    @cherrypy.expose
    def index(self): cherrypy.response.headers["Content-Type"] = "text/plain"; return TEXT
cherrypy.config.update({"server.socket_port": PORT, "server.socket_host": "127.0.0.1", "tools.gzip.on": True})
cherrypy.quickstart(Answer())"""),
    "compression": (False, NODE, SCRIPT + """const app = require("express")(); app.use(require("compression")());
app.get("/", (request, response) => response.type("json").send(TEXT)); app.listen(PORT, "127.0.0.1")"""),
    "koa-compress": (False, NODE, SCRIPT + """const Koa = require("koa"), compress = require("koa-compress");
const app = new (Koa.default || Koa)(); app.use((compress.default || compress)());
app.use(context => { context.type = "json"; context.body = TEXT }); app.listen(PORT, "127.0.0.1")"""),
    "hono": (False, NODE, SCRIPT + """const {Hono} = require("hono"), {compress} = require("hono/compress");
const app = new Hono(); app.use(compress()); app.get("/", context => context.text(TEXT));
require("@hono/node-server").serve({fetch: app.fetch, port: PORT, hostname: "127.0.0.1"})"""),
    "node exporter": (True, None, lambda port: [
        work / "unpacked/usr/bin/prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"]),
    "lighttpd": (True, None, lambda port: [work / "unpacked/usr/sbin/lighttpd", "-D", "-f", lighttpd(port), "-m",
                                           work / "unpacked/usr/lib/lighttpd"]),
}


def lighttpd(port):
    (work / "index.html").write_text("1" * 5000)
    (work / "lighttpd.conf").write_text(
        f'server.document-root = "{work}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
        'server.modules = ("mod_deflate")\nindex-file.names = ("index.html")\nmimetype.assign = (".html" => "text/html")\n'
        'deflate.mimetypes = ("text/html")\ndeflate.allowed-encodings = ("gzip")\n')
    return work / "lighttpd.conf"


def start(language, code):
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    command = code(port) if callable(code) else [*language, code.replace("PORT", str(port))]
    libraries = ":".join(glob.glob(f"{work}/unpacked/usr/lib/*-linux-gnu"))
    with (work / "log").open("ab") as log:
        running.append(subprocess.Popen(command, cwd=work, stdout=log, stderr=log, env=dict(
            os.environ, DJANGO_SETTINGS_MODULE="", LD_LIBRARY_PATH=libraries)))
    return port


def encoding(port, accepted):
    for _ in range(200):
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("GET", "/metrics" if name == "node exporter" else "/", headers={"Accept-Encoding": accepted})
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.headers["Content-Encoding"]


try:
    ports = {name: start(language, code) for name, (_, language, code) in SERVERS.items()}
    for name, port in ports.items():
        wanted = SERVERS[name][0]
        accepted = "gzip;q=0, br;q=0" if wanted == "br" else "identity, gzip;q=0"
        plain, seen = encoding(port, "gzip"), encoding(port, accepted)
        expected = wanted if wanted == "br" else "gzip" if wanted else None
        good = plain == "gzip" and seen == expected
        changed += not good
        print(f"{name:18} {accepted:19} -> {seen or 'not packed'} {'' if good else f'CHANGED (gzip asked: {plain})'}")
    print((work / "log").read_text()[-800:] if changed else "", end="")
finally:
    for process in running:
        process.terminate()
    time.sleep(0.3)
    for process in running:
        process.kill()
        process.wait()
sys.exit(changed > 0)
PY
