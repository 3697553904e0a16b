"""Copies of the hidden states at some places of a model, taken while it runs, which stops it behind the last of them.

Knows nothing of families and of what runs the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from latentprobe.encode.hookpoints import HookPoint

__all__ = ["DeepEnough", "Tap", "captured", "first_argument", "with_first_argument"]


class DeepEnough(Exception):
    """Raised inside the forward pass once the last state that is needed was taken."""


class Tap(NamedTuple):
    """A module to hook, and on which side of it the states are."""

    module: nn.Module
    at_input: bool


@contextlib.contextmanager
def captured(taps: Mapping[HookPoint, Tap], selected: Tensor) -> Iterator[dict[HookPoint, Tensor]]:
    """Hooks that fill a dict while a model runs, and raise :class:`DeepEnough` in it when the dict is full.

    Args:
        taps: where to look.
        selected: which tokens to keep, ``[windows, length]``.
    """
    states: dict[HookPoint, Tensor] = {}

    def keeps(hook: HookPoint) -> Callable[[Tensor], None]:
        def keep(x: Tensor) -> None:
            states[hook] = _rows(x, selected)
            if len(states) == len(taps):
                raise DeepEnough

        return keep

    handles = [_listen(tap, keeps(hook)) for hook, tap in taps.items()]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _listen(tap: Tap, keep: Callable[[Tensor], None]) -> Any:
    """Hand every tensor that passes a tap to a function."""

    def on_input(module: nn.Module, args: Any, kwargs: Any) -> None:
        keep(first_argument(args, kwargs))

    def on_output(module: nn.Module, args: Any, output: Any) -> None:
        # Blocks return a plain tensor since transformers 5, a tuple before: indexing a tensor would take batch row 0.
        keep(output[0] if isinstance(output, tuple) else output)

    if tap.at_input:
        return tap.module.register_forward_pre_hook(on_input, with_kwargs=True)
    return tap.module.register_forward_hook(on_output)


def first_argument(args: Any, kwargs: Any) -> Tensor:
    """The states a module is called with: blocks of some families take them by name."""
    states: Tensor = args[0] if args else kwargs["hidden_states"]
    return states


def with_first_argument(states: Tensor, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The same call with other states."""
    return ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})


def _rows(x: Tensor, selected: Tensor) -> Tensor:
    """A copy of the selected tokens' rows, ``[selected tokens, d]``.

    A copy, because Falcon adds the attention's output to that of its MLP in place; and shaped anew, because OPT runs
    its MLP on windows laid end to end.
    """
    return x.reshape(*selected.shape, -1)[selected]
