"""One process or many: who reads which share of a minibatch, and how gradients become one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from pancyte.errors import UsageError


@dataclass(frozen=True)
class Team:
    """The processes that train together, started by ``torchrun``; alone without it.

    Attributes
    ----------
    rank, world
        Which of how many this one is.
    """

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def shares(self, number: int) -> list[int]:
        """Say which of a minibatch's shares this process computes.

        Raises
        ------
        UsageError
            If the shares cannot be dealt out evenly.
        """
        if number % self.world:
            raise UsageError(
                f"{number} shares of a minibatch cannot be dealt out to {self.world} processes.",
                fix=f"Set loop.shares to a multiple of {self.world}; a run that goes on must keep "
                "the number it began with.",
            )
        return list(range(self.rank, number, self.world))

    def wrapped(self, network: nn.Module, *, sharded: bool) -> nn.Module:
        """Make a network whose gradients are averaged over all processes.

        Parameters
        ----------
        network
            The weights, alike in all processes.
        sharded
            Divide weights, gradients and optimizer state among the processes (FSDP2), rather
            than keep a copy of all in each (DDP).
        """
        if self.world == 1:
            return network
        if sharded:
            from torch.distributed.fsdp import fully_shard

            for layer in network.get_submodule("backbone").children():
                for part in layer if isinstance(layer, nn.ModuleList) else ():
                    fully_shard(part)
            fully_shard(network)
            return network
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(network)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average numbers over the processes."""
        if self.world == 1:
            return values
        sums = torch.tensor(list(values.values()), dtype=torch.float64)
        sums = sums.to(_device()) if distributed.get_backend() == "nccl" else sums
        distributed.all_reduce(sums)
        return dict(zip(values, (sums / self.world).tolist(), strict=True))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined_team() -> Iterator[Team]:
    """Join the processes that ``torchrun`` started, for as long as the block lasts."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_device())
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def unsynchronised(network: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
    """Keep gradients to this process until the last of its shares."""
    from torch.distributed.fsdp import FSDPModule
    from torch.nn.parallel import DistributedDataParallel

    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(last)
    if last or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    held: AbstractContextManager[Any] = network.no_sync()
    return held


def norm_of(gradients: Tensor) -> float:
    """Return a gradient's norm as a number, also when it is spread over processes."""
    from torch.distributed.tensor import DTensor

    return float(gradients.full_tensor() if isinstance(gradients, DTensor) else gradients)


def _device() -> torch.device:
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
