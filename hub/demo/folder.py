"""The demo's folder and addresses: made by the demo, and only then emptied by it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from hub.config import shipped_mapping
from hub.sdk import ConfigError, Problem

MARK = ".points-hub-demo"
"""Its presence says that a folder is the demo's own."""
FILES = Path(__file__).with_name("files")


def emptied(folder: Path) -> Path:
    """Return the demo's folder, new or emptied.

    Raises:
        ConfigError: it holds something and is not the demo's own.
    """
    if folder.exists() and not folder.is_dir():
        raise _refusal(folder, "is not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise _refusal(folder, "holds files that are not the demo's, so it is not emptied")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    (folder / MARK).write_text("hub demo empties this folder each time it starts\n", encoding="utf-8")
    return folder


def write_files(
    folder: Path, *, listen: str, settings: Mapping[str, Mapping[str, Any]], connectors: Iterable[str]
) -> Path:
    """Write hub.yaml, program.yaml and a copy of each connector's shipped mapping; return the path of hub.yaml.

    Args:
        settings: of each connection.
    """
    text = (FILES / "hub.yaml").read_text(encoding="utf-8").replace("<listen>", listen)
    for name, values in settings.items():
        text = text.replace(f"settings: <{name}>", f"settings: {json.dumps(values)}")
    hub_file = folder / "hub.yaml"
    hub_file.write_text(text, encoding="utf-8")
    shutil.copy(FILES / "program.yaml", folder / "program.yaml")
    (folder / "mappings").mkdir()
    for mapping in map(shipped_mapping, connectors):
        if mapping.is_file():
            shutil.copy(mapping, folder / "mappings" / mapping.name)
    return hub_file


def loopback(listen: str) -> tuple[str, int]:
    """Return host and port of an address on this machine.

    Raises:
        ConfigError: it is none.
    """
    host, _, port = listen.rpartition(":")
    try:
        if ip_address(host).is_loopback and 0 <= int(port) < 1 << 16:
            return host, int(port)
    except ValueError:
        pass
    raise ConfigError(
        [Problem("--listen", 0, 0, f"{listen!r} is not an address of this machine", "write 127.0.0.1:8080")]
    )


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` where nobody listens on it, else a port the system has free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise ConfigError([Problem("--listen", 0, 0, f"no port is free on {host}")])


def _refusal(folder: Path, why: str) -> ConfigError:
    return ConfigError([Problem(str(folder), 0, 0, f"it {why}", "name another with --folder")])
