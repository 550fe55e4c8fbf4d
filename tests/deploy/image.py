"""The command behind `make image-test`: builds the image twice and compares, runs it as Kubernetes would, looks at it.

Owns: the build and the run, as root with Debian's buildah, which needs no daemon and no registry. The base image is
made with debootstrap and takes the place of the official one. Must not know: what is in the Dockerfile. What runs, as
whom and with which environment is read from the image that was built.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_ports
from tests.simulator import Simulator

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".cache" / "image"
IMAGE = "localhost/binance-sidecar:test"
BASE = "localhost/python:3.13-slim"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SHUTDOWN_SECONDS = 3
INSTALLED = Path("opt", "binance-sidecar")
GRACE_SECONDS = 45
"""The chart's, and the compose file's."""
PROBE = """
import os, sys
assert os.getuid() == 10001 and os.getgid() == 10001, (os.getuid(), os.getgid())
for path in ("/x", "/opt/binance-sidecar/x", "/tmp/x"):
    try:
        open(path, "w")
    except OSError:
        continue
    sys.exit(f"{path} can be written")
import proxy
print(proxy.__version__, sys.version.split()[0])
"""


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and where its files are."""

    root: Path
    size_bytes: int
    user: str
    environment: Mapping[str, str]
    entrypoint: Sequence[str]
    command: Sequence[str]
    health_check: Sequence[str]
    labels: Mapping[str, str]


def _run(*command: str | Path) -> str:
    """Run; ends the program with what was printed when it fails."""
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=ROOT)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}")
    return ended.stdout.strip()


def _buildah(*words: str | Path) -> str:
    store = ("--root", WORK / "store", "--runroot", WORK / "run", "--storage-driver", "vfs")
    return _run("buildah", *store, *words)


@contextmanager
def built() -> Iterator[Built]:
    """The image of the Dockerfile, and a container of it for as long as the context lasts."""
    if os.geteuid() != 0 or not (shutil.which("buildah") and shutil.which("debootstrap")):
        sys.exit("image-test: needs root, buildah and debootstrap (Debian packages)")
    WORK.mkdir(parents=True, exist_ok=True)
    policy = WORK / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    _base(policy)
    first = _hashes_of_a_build(policy)
    container = _build(policy)
    try:
        root = Path(_buildah("mount", container))
        _compare(first, hashes(root / INSTALLED))
        yield _built(root, json.loads(_buildah("inspect", "--type", "image", IMAGE)))
    finally:
        _buildah("rm", container)
        _buildah("rmi", "--prune", "--force")


def _build(policy: Path) -> str:
    """A container of the image, built anew: no layer of an earlier build is used."""
    started = time.monotonic()
    mounts = ("--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro") if AUTHORITIES.exists() else ()
    how = ("--isolation", "chroot", "--network", "host", "--format", "docker", "--pull=never", "--no-cache")
    _buildah(
        "build", "--signature-policy", policy, *how, *mounts, "--build-arg", f"PYTHON={BASE}", "--tag", IMAGE, ROOT
    )
    print(f"built in {time.monotonic() - started:.0f} s")
    return _buildah("from", "--signature-policy", policy, "--pull=never", IMAGE)


def _hashes_of_a_build(policy: Path) -> dict[str, str]:
    container = _build(policy)
    try:
        return hashes(Path(_buildah("mount", container)) / INSTALLED)
    finally:
        _buildah("rm", container)


def hashes(folder: Path) -> dict[str, str]:
    """For each file and link below a folder, by its path: its mode, and a hash of what is in it or where it leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        found[str(path.relative_to(folder))] = f"{path.lstat().st_mode:o} {hashlib.sha256(content).hexdigest()}"
    return found


def _compare(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if differing or not first:
        sys.exit(f"image-test: two builds differ in {len(differing)} of {len(second)} files: {differing[:20]}")
    print(f"two builds have {len(first)} equal files under /{INSTALLED}")


def _base(policy: Path) -> None:
    """An image named as the official one: Debian's own Python of the same version."""
    if BASE in _buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    tree = WORK / "base"
    if not tree.exists():
        partial = WORK / "base.part"
        shutil.rmtree(partial, ignore_errors=True)
        packages = "python3,python3-venv,ca-certificates"
        _run("debootstrap", "--variant=minbase", f"--include={packages}", "trixie", partial)
        partial.rename(tree)
    python = tree / "usr" / "bin" / "python"
    python.unlink(missing_ok=True)
    python.symlink_to("python3")
    archive = WORK / "base.tar"
    _run("tar", "-C", tree, "-cf", archive, "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./dev/*", ".")
    container = _buildah("from", "--signature-policy", policy, "scratch")
    _buildah("add", "--quiet", container, archive, "/")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    _buildah("config", "--env", f"PATH={path}", "--cmd", "python3", container)
    _buildah("commit", "--signature-policy", policy, "--quiet", container, BASE)
    _buildah("rm", container)
    archive.unlink()


def _built(root: Path, inspected: Any) -> Built:
    config = inspected["Docker"]["config"]
    return Built(
        root=root,
        size_bytes=_size(root / INSTALLED),
        user=config["User"],
        environment=dict(pair.split("=", 1) for pair in config["Env"]),
        entrypoint=config["Entrypoint"],
        command=config["Cmd"],
        health_check=config["Healthcheck"]["Test"],
        labels=config["Labels"],
    )


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _contained(image: Built, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A command in the image: its files read-only, its user, its environment, mounts of its own, no capability."""
    variables = [f"{name}={value}" for name, value in {**image.environment, **environment}.items()]
    script = (
        'set -e; mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; mount --rbind -o ro /dev "$0/dev";'
        ' exec chroot --userspec="$1" "$0" /usr/bin/env -i "${@:2}"'
    )
    return ["unshare", "--mount", "bash", "-c", script, str(image.root), image.user, *variables, *words]


def _settings(origin: str) -> tuple[dict[str, str], str, str]:
    port, ops_port = free_ports(2)
    chosen = {
        "SIDECAR_PORT": str(port),
        "SIDECAR_OPS_PORT": str(ops_port),
        "SIDECAR_UPSTREAMS": origin,
        "SIDECAR_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
    }
    return chosen, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops_port}"


async def examine(image: Built) -> None:
    """Run it, ask it, stop it."""
    assert image.user == "10001:10001", image.user
    assert image.entrypoint == ["binance-sidecar"], image.entrypoint
    assert image.health_check == ["CMD", "binance-sidecar", "check"], image.health_check
    assert image.labels["org.opencontainers.image.title"] == "binance-sidecar", image.labels
    print("inside:", await _output(image, ["python", "-c", PROBE], {}))
    async with Simulator() as origin:
        settings, traffic, ops = _settings(origin.url)
        assert (await _status(image, image.health_check[1:], settings)) == 1, "check fails while nothing runs"
        words = [*image.entrypoint, *image.command]
        process = await asyncio.create_subprocess_exec(*_contained(image, words, settings))
        try:
            await _until_ready(process, f"{ops}/readyz")
            assert (await _status(image, image.health_check[1:], settings)) == 0, "check succeeds"
            status, body = await asyncio.to_thread(_get, f"{traffic}/api/v3/exchangeInfo?symbol=BTCUSDT")
            assert status == 200, status
            assert json.loads(body)["symbols"][0]["symbol"] == "BTCUSDT"
            started = time.monotonic()
            process.terminate()
            assert await asyncio.wait_for(process.wait(), GRACE_SECONDS) == 0
            print(f"answers exchangeInfo; stops in {time.monotonic() - started:.1f} s after SIGTERM")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, "it ended instead of starting"
            try:
                status, _ = await asyncio.to_thread(_get, url)
            except OSError:
                status = 0
            if status == 200:
                return
            await asyncio.sleep(0.1)


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def _status(image: Built, words: Sequence[str], settings: Mapping[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(
        *_contained(image, words, settings), stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def _output(image: Built, words: Sequence[str], settings: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(*_contained(image, words, settings), stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode().strip()


def main() -> None:
    """Build, run, tell the size."""
    with built() as image:
        asyncio.run(examine(image))
        print(f"the gateway and its libraries add {image.size_bytes / 1e6:.0f} MB to the base image")


if __name__ == "__main__":
    main()
