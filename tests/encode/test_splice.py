"""What is put in the place of hidden states arrives there, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from latentprobe.encode.families import find_tap
from latentprobe.encode.hookpoints import HookPoint
from latentprobe.encode.splice import _replaced
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
