"""The hub, through huggingface_hub: what a repository holds, what of it is here, and the rest fetched.

Only what a lock entry names is asked for. Tokens, mirrors (``HF_ENDPOINT``), the folder of the files
(``HF_HOME``) and progress bars are the library's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashdreams.io.lock import LockEntry
from flashdreams.io.source import PATIENCE, Remote, absent, broken_off, denied


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
    """Fetch a file of an entry, going on where an earlier try broke off.

    Raises:
        DownloadError: It cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    with _explained(entry, f"{path} of {entry.source}"):
        return Path(hf_hub_download(_repo(entry), path, revision=entry.revision))


def forget(file: Path) -> None:
    """Remove a file that the library keeps, and what it is a link to, so that it is fetched again."""
    file.resolve().unlink(missing_ok=True)
    file.unlink(missing_ok=True)


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
