"""The hub, through huggingface_hub: what a repository holds, what of it is here, and the rest fetched.

Only what a lock entry names is asked for. The library (2.4) keeps nothing of a download that breaks off, so
large files are fetched by :mod:`flashdreams.io.url_client` to where the library looks for them. Tokens,
mirrors (``HF_ENDPOINT``), the folder of the files (``HF_HOME``) and progress bars are the library's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashdreams.io import url_client
from flashdreams.io.lock import SAFE_ADDRESSES, LockEntry
from flashdreams.io.source import PATIENCE, Remote, absent, broken_off, denied

_SHA256 = re.compile(r"[0-9a-f]{64}")


def folder() -> Path:
    """Where the library keeps its files."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached(entry: LockEntry, path: str) -> Path | None:
    """A file of an entry, where it is here in the entry's revision (in any ``main``, where it has none)."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(_repo(entry), path, revision=entry.revision)
    return Path(found) if isinstance(found, str) else None


def revision_of(file: Path, path: str) -> str:
    """The commit of a file that the library keeps, ``path`` in its repository."""
    return file.parents[len(Path(path).parts) - 1].name


def look_up(entry: LockEntry) -> Remote:
    """Ask the hub what the repository of an entry holds.

    Raises:
        DownloadError: The hub cannot be reached, or denies the repository or the revision.
    """
    from huggingface_hub import HfApi

    with _explained(entry, f"The files of {entry.source}"):
        info = HfApi().model_info(
            _repo(entry), revision=entry.revision, files_metadata=True, timeout=PATIENCE
        )
    files = info.siblings or []
    return Remote(
        info.sha,
        {file.rfilename: file.size for file in files if file.size is not None},
        {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None},
        frozenset(file.rfilename for file in files),
    )


def download(entry: LockEntry, path: str) -> Path:
    """Fetch a file of an entry: a large one (LFS, Xet) from where an earlier try broke off.

    Raises:
        DownloadError: It cannot be fetched.
        WeightsHashError: What came of a large file has another hash than the hub tells.
    """
    from huggingface_hub import hf_hub_download

    blob = _blob_fetched(entry, path)
    with _explained(entry, f"{path} of {entry.source}"):
        file = Path(hf_hub_download(_repo(entry), path, revision=entry.revision))
    if blob is not None and not file.is_symlink():
        blob.unlink(missing_ok=True)  # on a disk without links the library has copied it
    return file


def part_of(entry: LockEntry, sha256: str) -> url_client.Part:
    """What is here of a large file that is not whole yet. ``hf cache prune`` removes files of such names."""
    return url_client.Part(_blob(entry, sha256).with_name(f"{sha256}.flashdreams.incomplete"), sha256)


def forget(file: Path) -> None:
    """Remove a file that the library keeps, and what it is a link to, so that it is fetched again."""
    file.resolve().unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _blob_fetched(entry: LockEntry, path: str) -> Path | None:
    """Where the content of a large file is now; None for others, which the library itself fetches."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(_repo(entry), path, revision=entry.revision)
    with _explained(entry, f"{path} of {entry.source}"):
        etag = get_hf_file_metadata(url).etag or ""
    if _SHA256.fullmatch(etag) is None or not url.startswith(SAFE_ADDRESSES):
        return None
    blob = _blob(entry, etag)
    url_client.download(url_client.Address(url, build_hf_headers()), blob, part_of(entry, etag))
    return blob


def _blob(entry: LockEntry, sha256: str) -> Path:
    """Where the library looks for a content before it fetches it."""
    from huggingface_hub.file_download import repo_folder_name

    return folder() / repo_folder_name(repo_id=_repo(entry), repo_type="model") / "blobs" / sha256


def _repo(entry: LockEntry) -> str:
    if entry.repo is None:
        raise ValueError(f"{entry.reference} is on no hub.")
    return entry.repo


@contextmanager
def _explained(entry: LockEntry, what: str) -> Iterator[None]:
    """Say in the user's terms what the library says in its own."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{entry.repo}"
    try:
        yield
    except (errors.GatedRepoError, errors.DisabledRepoError) as error:
        raise denied(what, page) from error
    except errors.RevisionNotFoundError as error:
        raise absent(what, f"{entry.repo} has no revision {entry.revision}.") from error
    except errors.RepositoryNotFoundError as error:
        hint = f"There is no repository {entry.repo}, or it is private and your token does not open it."
        raise absent(what, hint) from error
    except errors.RemoteEntryNotFoundError as error:
        raise absent(what, f"{entry.repo} has no such file.") from error
    except Exception as error:  # the library's errors, and those of what it is built on, share no base
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise denied(what, page) from error
        raise broken_off(what, error) from error
