"""From planned sources and texts to stored features: skip what is stored, resume what is not.

Every source has a fingerprint over all that makes its numbers. What the store has under it is not computed again;
what is missing is computed in one pass, shard by shard, and an interrupted pass goes on at its first missing shard.
Knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latentprobe.config import BackboneSpec, FitSpec
from latentprobe.corpus import ImageFile, Rows
from latentprobe.encode.backbone import Backbone, load_backbone, shared_backbone
from latentprobe.encode.featurize import Progress, Source, featurize, shards
from latentprobe.encode.formats import load_sae
from latentprobe.encode.image_families import require_rows
from latentprobe.encode.images import load_image_backbone, shared_image_backbone
from latentprobe.encode.model_files import find_model
from latentprobe.encode.random_sae import RandomSAE, sample_states
from latentprobe.encode.sae import SAE
from latentprobe.encode.sources import PlannedSource, require_fit, settle_bos
from latentprobe.store import FeatureStore

__all__ = ["extract", "load_pair", "shared_reader"]


def load_pair(fit: FitSpec, *, images: bool = False) -> tuple[Backbone, SAE]:
    """The model and the SAE of a classifier, on the same device, proven to belong together.

    ``images`` says that the rows are images. Callers share the model in memory.

    Raises:
        ModelError, SAEError, SpecError: one of them cannot be found, or does not fit the other or the rows.
    """
    spec, sae = fit.backbone, load_sae(fit.sae)
    files = find_model(spec.model, spec.revision)
    require_rows(spec, files.config, images=images)
    require_fit(sae, spec, files)
    backbone = shared_reader(spec if images else settle_bos(spec, [sae]), images=images)
    return backbone, sae.to(backbone.device)


def shared_reader(spec: BackboneSpec, *, images: bool) -> Backbone:
    """The model for texts, or for images, shared with all who ask for the same one."""
    return shared_image_backbone(spec) if images else shared_backbone(spec)


def extract(
    spec: BackboneSpec,
    planned: Sequence[PlannedSource],
    texts: Rows,
    ids: Sequence[str],
    store: FeatureStore,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Compute and store what is missing of the planned sources, all of it from one pass over the texts.

    Args:
        spec: the backbone.
        planned: what :func:`plan_sources` gave for it.
        texts, ids: the rows, texts or images.
        store: where features go.
        progress: called with rows done and rows in all.
        say: called with one sentence about model, device and type when a model is loaded.

    Returns:
        Number of rows that went through the model; 0 when all was stored.
    """
    missing = [source for source in planned if source.fingerprint not in store]
    if not missing:
        return 0
    load = load_image_backbone if isinstance(texts[0], ImageFile) else load_backbone
    backbone = load(spec.model_copy(update={"bos": missing[0].made_from["bos"]}))
    if say is not None:
        say(f"{spec.model} on {backbone.spec.device} in {backbone.spec.dtype}, {backbone.max_tokens} tokens a window")
    done = passed = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(done, len(texts))

    saes = _ready_saes(missing, backbone, texts)
    cut = shards(texts)
    for number, rows in enumerate(cut):
        todo = [source for source in missing if not store.shard_path(source.fingerprint, number).is_file()]
        if todo:
            part = slice(rows.start, rows.stop)
            sources = [Source(source.hook, saes[source.fingerprint], source.poolings) for source in todo]
            pooled = featurize(texts[part], ids[part], backbone, sources, progress=advance)
            for source, features in zip(todo, pooled, strict=True):
                store.write_shard(source.fingerprint, number, features)
            passed += len(rows)
        else:
            advance(len(rows))
    for source in missing:
        store.finish(source.fingerprint, source.made_from, len(cut))
    return passed


def _ready_saes(sources: Sequence[PlannedSource], backbone: Backbone, rows: Rows) -> dict[str, SAE | None]:
    """The encoder of each source on the backbone's device; random ones are made on a sample of the rows' tokens."""
    random = {source.hook for source in sources if isinstance(source.sae, RandomSAE)}
    states = sample_states(backbone, rows, sorted(random)) if random else {}
    ready: dict[str, SAE | None] = {}
    for source in sources:
        sae = source.sae
        if isinstance(sae, RandomSAE):
            sae = RandomSAE(sae.of.to(backbone.device)).made(states[source.hook])
        ready[source.fingerprint] = sae and sae.to(backbone.device)
    return ready
