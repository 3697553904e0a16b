"""What is put in the place of hidden states arrives there, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from latentprobe.encode.activations import Threshold
from latentprobe.encode.families import find_tap
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.sae import SAE
from latentprobe.encode.splice import _replaced, without_features
from latentprobe.encode.taps import DeepEnough, captured
from tests.encode.test_families import CAUSAL, hooks_of


@pytest.mark.parametrize("name", CAUSAL)
def test_states_are_replaced_at_their_hook_point_for_the_selected_tokens(
    tiny_model: Callable[[str], Path], name: str
) -> None:
    model = transformers.AutoModel.from_pretrained(tiny_model(name)).eval()
    ids, selected = torch.tensor([[4, 5, 6, 7, 8]]), torch.tensor([False, True, True, False, True])

    def state(hook: HookPoint) -> torch.Tensor:
        everything = torch.ones_like(ids, dtype=torch.bool)
        with captured({hook: find_tap(model, hook)}, everything) as states, contextlib.suppress(DeepEnough):
            model(input_ids=ids)
        return states[hook]

    with torch.inference_mode():
        for hook in hooks_of(name, 2):
            clean, end = state(hook), state(HookPoint(3, "resid_post"))
            with _replaced(model, hook, selected, lambda x: 2 * x + 1):
                torch.testing.assert_close(state(hook)[selected], 2 * clean[selected] + 1, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(state(hook)[~selected], clean[~selected])
                assert (state(HookPoint(3, "resid_post"))[selected] - end[selected]).norm() > 1e-2
            with _replaced(model, hook, selected, torch.clone):
                torch.testing.assert_close(state(HookPoint(3, "resid_post")), end, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(state(hook), clean)


def test_features_are_taken_out_behind_the_first_position_and_all_else_stays(
    tiny_model: Callable[[str], Path],
) -> None:
    model = transformers.AutoModel.from_pretrained(tiny_model("llama")).eval()
    ids = torch.tensor([[4, 5, 6, 7], [8, 7, 6, 5]])
    seed = torch.Generator().manual_seed(0)
    sae = SAE(
        reference="by hand",
        sha256="a" * 64,
        hook=HookPoint(1, "resid_post"),
        model=None,
        W_enc=torch.randn(16, 12, generator=seed),
        b_enc=torch.zeros(12),
        activation=Threshold(torch.zeros(12)),
        W_dec=torch.randn(12, 16, generator=seed),
        b_dec=torch.ones(16),
    )

    def states() -> torch.Tensor:
        tap, everything = find_tap(model, sae.hook), torch.ones_like(ids, dtype=torch.bool)
        with captured({sae.hook: tap}, everything) as found, contextlib.suppress(DeepEnough):
            model(input_ids=ids)
        return found[sae.hook]

    with torch.inference_mode():
        clean = states()
        z = torch.relu(clean @ sae.W_enc)
        expected = clean - z[:, [3, 7]] @ sae.W_dec[[3, 7]]  # type: ignore[index]
        expected[[0, 4]] = clean[[0, 4]]
        with without_features(model, sae, [3, 7]):
            torch.testing.assert_close(states(), expected, atol=1e-4, rtol=1e-4)
        assert (expected - clean).norm() > 0.1
        with without_features(model, sae, []):
            torch.testing.assert_close(states(), clean)
