"""A module that computes in OpenVINO, from one thread or several, and is compiled again when its weights change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.engines.openvino_compiler import compile_module
from sammix_core.engines.threads import in_worker_thread


class CompiledModule:
    """A module compiled when it is first called, and again when its weights were changed.

    Called alone it computes on all threads; called from threads of `in_threads` it computes on one for each of them.
    The number of threads can change the last digit, so that `one_by_one` makes it always use all of them.

    Args:
        make: Gives the module, in eval mode, on the CPU.
        weights: The parameters that it computes with; training in place changes them.
        examples: Inputs to trace it with.
        shapes: Shapes of its inputs; -1 for a size that may vary.
        one_by_one: Whether it always computes on all threads, so that its output is the same to the bit.
        how: More for `compile_module`, such as the precision; float32 by default.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        weights: Sequence[torch.Tensor],
        examples: Sequence[torch.Tensor],
        shapes: Sequence[Sequence[int]],
        one_by_one: bool = False,
        **how: Any,
    ) -> None:
        self._make = make
        self._weights = list(weights)
        self._one_by_one = one_by_one
        self._examples, self._shapes, self._how = examples, shapes, how
        self._made_of: list[tuple[int, int]] = []
        self._compiled: dict[int, Any] = {}  # by the number of streams
        self._free: list[tuple[Any, Any]] = []  # networks and requests that no thread is using
        self._lock = threading.Lock()

    def __call__(self, *inputs: torch.Tensor) -> list[np.ndarray]:
        """Computes.

        Args:
            inputs: On the CPU.

        Returns:
            The outputs, float32, as copies.

        Raises:
            ImportError, OSError, RuntimeError: OpenVINO does not run here.
        """
        compiled = self.compiled()
        arrays = {number: tensor.contiguous().float().numpy() for number, tensor in enumerate(inputs)}
        request = self._request_of(compiled)
        results = request.infer(arrays, share_inputs=True, share_outputs=True)
        outputs = [np.array(result) for result in results.values()]
        with self._lock:  # after a failure the request is dropped
            self._free.append((compiled, request))
        return outputs

    def _request_of(self, compiled: Any) -> Any:
        """A request that no other thread is using; they are reused, since creating one waits for those that run."""
        with self._lock:
            for number, (network, request) in enumerate(self._free):
                if network is compiled:
                    del self._free[number]
                    return request
        return compiled.create_infer_request()

    def compiled(self) -> Any:
        """OpenVINO's network for this thread, compiled if need be.

        Raises:
            ImportError, OSError, RuntimeError: OpenVINO does not run here.
        """
        with self._lock:
            several = in_worker_thread() and not self._one_by_one
            return self._current(torch.get_num_threads() if several else 1)

    def _current(self, streams: int) -> Any:
        now = [(weight.data_ptr(), weight._version) for weight in self._weights]
        if now != self._made_of:
            self._compiled, self._free, self._made_of = {}, [], now
        if streams not in self._compiled:
            module = self._make()
            self._compiled[streams] = compile_module(module, self._examples, self._shapes, streams=streams, **self._how)
        return self._compiled[streams]
