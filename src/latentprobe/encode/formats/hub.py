"""Single files of a repository on the Hugging Face hub, or of its local cache. Knows nothing of SAEs."""

from __future__ import annotations

from pathlib import Path

from latentprobe.errors import MissingExtraError, SAEError

__all__ = ["cached_folder", "fetch"]


def fetch(repository: str, path: str, revision: str | None) -> Path | None:
    """A file of a repository, downloaded if the cache does not have it; None where there is no such file.

    Args:
        repository: ``org/name``.
        path: of the file, inside the repository.
        revision: branch, tag or commit; None is ``main``.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        SAEError: no such repository or revision, or no right to read it.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("encode", needed_for="fetching an SAE", missing="huggingface_hub") from error
    try:
        return Path(hf_hub_download(repo_id=repository, filename=path, revision=revision))
    except EntryNotFoundError:  # also where the network is out of reach and the cache does not have it
        return None
    except (OSError, ValueError) as error:  # what the hub's other refusals and all failures of the network are
        raise SAEError(
            f"{path} of {repository} could not be fetched from the Hugging Face hub",
            got=" ".join(str(error).split())[:300],
            fix="check repository and revision; for a gated one accept its terms there and run `hf auth login`",
        ) from error


def cached_folder(repository: str, path: str, revision: str | None) -> Path | None:
    """Where the cache would have a folder of a repository, without a network; None without huggingface_hub."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    root = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    named = root / "refs" / (revision or "main")
    commit = named.read_text().strip() if named.is_file() else revision or "main"
    return root / "snapshots" / commit / path
