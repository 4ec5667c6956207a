"""Steps of a sampling as CUDA graphs.

A step is some thousand short kernels, the same in each step. Python starts them one by one, which
takes longer than a large GPU computes; a graph starts all of them at once.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bigart.networks.native.glide.model import Text2ImUNet
from bigart.sampling.samplers import Network

log = logging.getLogger("bigart")

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]
"""Work on fixed memory -> what does it again, and the tensor that it writes the result to."""


def cuda_graph(run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Record the kernels that work on the current GPU starts."""
    graph = torch.cuda.CUDAGraph()
    # a recording that fails would leave its own stream as the current one
    with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
        out = run()
    return graph.replay, out


def replayed(network: Network, device: torch.device) -> Network:
    """Return the network in the form in which its steps are fastest on the device.

    The original stays as it is: it compares the tokens at each step, which waits for the GPU.
    """
    is_ours = isinstance(network, Text2ImUNet)
    return Replayed(network) if is_ours and device.type == "cuda" else network


class Replayed:
    """A network whose step is recorded once for each text and size of its inputs.

    The first step runs as it is, the second is recorded, and all from there on are replayed. Where
    it cannot be recorded (memory, or an operator that must wait for the GPU), all run as they are.
    One recording is kept: memory holds one step.

    Args:
        network: Its ``denoise`` computes from its arguments alone.
        record: How a step is recorded.
    """

    def __init__(self, network: Network, record: Record = cuda_graph) -> None:
        self.network, self._record = network, record
        self._text: Any = None
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], object] | None = None
        self._out: Tensor | None = None
        self._recordable = True

    def denoise(
        self, x: Tensor, timesteps: Tensor, text: Any, low_res: Tensor | None = None
    ) -> Tensor:
        """Predict noise and variance, (B, 6, n, n), as ``network.denoise`` does."""
        inputs = [part for part in (x, timesteps, low_res) if part is not None]
        if text is not self._text or [y.shape for y in inputs] != [y.shape for y in self._inputs]:
            self._replay = self._out = None
            self._text, self._inputs = text, [torch.empty_like(part) for part in inputs]
            return self.network.denoise(x, timesteps, text, low_res)
        if not self._recordable:
            return self.network.denoise(x, timesteps, text, low_res)
        for kept, part in zip(self._inputs, inputs, strict=True):
            kept.copy_(part)
        if not self._replay:
            try:
                self._replay, self._out = self._record(self._step)
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                self._recordable = False
                log.info("steps run one kernel at a time: %s", str(error).partition("\n")[0])
                return self.network.denoise(x, timesteps, text, low_res)
        self._replay()
        assert self._out is not None
        return self._out.clone()  # the next step overwrites it

    def _step(self) -> Tensor:
        x, timesteps, *low_res = self._inputs
        return self.network.denoise(x, timesteps, self._text, *low_res)
