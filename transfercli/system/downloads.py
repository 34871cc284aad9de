"""Files from elsewhere: whether their server answers, and whether what has come is whole."""

import hashlib
import re
import socket
import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from transfercli.system.errors import TransferError, plain

PATIENCE = 5.0  # seconds within which a server takes up a connection
STALLED = 60.0  # seconds without a byte after which a download is given up


def download(url: str, path: Path) -> None:
    """Fetch `path`, which is there when it is whole, and not before; by the hash in the URL, where it has one.

    Raises TransferError at once where there is no network, with where the file goes that was fetched elsewhere.
    """
    import torch  # which writes beside, checks the hash and renames

    remedy = f"fetch {url} where there is a network and put it into {path.parent} (TORCH_HOME)"
    if reason := unreachable(url):
        raise TransferError(f"no {path.name} in {path.parent}, and {urlsplit(url).hostname} {reason}; {remedy}")
    waits = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_in(url) or None, progress=sys.stderr.isatty())
    except HTTPError as error:
        raise TransferError(f"cannot fetch {url}: the server says {error.code} {error.reason}; {remedy}") from None
    except OSError as error:  # of the network or of the disk
        raise TransferError(f"cannot fetch {url} ({error}); run the command again, or {remedy}") from None
    except (RuntimeError, HTTPException):  # torch's for another hash; what ended before its length
        raise TransferError(f"what came from {url} is not whole; run the command again, or {remedy}") from None
    finally:
        socket.setdefaulttimeout(waits)


def unreachable(url: str) -> str:
    """Why its server, or the proxy on the way there, takes up no connection within seconds; empty where it does."""
    at = urlsplit(url)
    if (proxy := getproxies().get(at.scheme) or getproxies().get("all")) and not proxy_bypass(at.hostname or ""):
        at = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    host, port = at.hostname, at.port or (80 if at.scheme == "http" else 443)
    if host is None:  # of a file
        return ""
    said: list[str] = []

    def ask() -> None:
        try:
            socket.create_connection((host, port), PATIENCE).close()
            said.append("")
        except OSError as error:
            said.append(f"cannot be reached ({error.strerror or error})")

    asking = Thread(target=ask, daemon=True)  # since a name may be looked up for as long as a resolver likes
    asking.start()
    asking.join(PATIENCE)
    return said[0] if said else "does not answer"


def hash_in(name: str) -> str:
    """The beginning of a file's sha256, as libraries write it into its name: resnet18-f37072fd.pth; else empty."""
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    return found[1] if found else ""


def check_whole(path: Path, beginning: str) -> None:
    """Raise TransferError where the file's sha256 does not begin so."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(beginning):
        raise TransferError(
            f"{path} is damaged or not whole: its sha256 begins with {found[: len(beginning)][:12]}, not {beginning[:12]}; "
            "remove it and run the command again"
        )


def from_hub(repository: str, names: Sequence[str], said: str) -> Path:
    """A file of a repository of the Hugging Face hub (OWNER/NAME, and @REVISION): the first of these names that there is.

    Raises TransferError. The hub is asked only where the cache has nothing and it answers: its client would try for most of a
    minute.
    """
    import huggingface_hub as hub
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = repository.partition("@")

    def first(local: bool) -> Path | None:
        for name in names:
            try:
                return Path(hub.hf_hub_download(repository, name, revision=revision or None, local_files_only=local))
            except LocalEntryNotFoundError as error:
                if not local:
                    raise error
            except EntryNotFoundError:
                continue
        return None

    cache, endpoint = hub.constants.HF_HUB_CACHE, hub.constants.ENDPOINT
    remedy = (
        f"where there is a network run: hf download {repository} --local-dir NAME, and give that folder NAME instead of {said}"
    )
    try:
        if (file := first(local=True)) is None:
            offline = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else ""
            if reason := offline or unreachable(endpoint):
                where = reason if offline else f"{urlsplit(endpoint).hostname} {reason}"
                raise TransferError(f"no {repository} in {cache} (HF_HOME), and {where}; {remedy}")
            file = first(local=False)
    except TransferError:
        raise
    except Exception as error:  # whatever the hub's client raises
        reason = " ".join(str(error).split())[:160]
        raise TransferError(f"cannot fetch {repository} ({type(error).__name__}: {plain(reason)}); {remedy}") from None
    if file is None:
        raise TransferError(f"{repository} has no {' or '.join(names)}; choose other weights")
    blob = file.resolve().name  # the cache calls a large file by its sha256
    if len(blob) == 64:
        check_whole(file.resolve(), blob)
    return file
