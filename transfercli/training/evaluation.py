"""What is counted of pictures that are measured."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

FIXED = 1000  # training pictures, at most, on which the loss is measured without dropout when training ends


@dataclass
class Counted:
    """Of pictures measured so far: how many are right at first guess, among the first five, and the summed cross-entropy."""

    sums: Tensor  # (3,)
    right: Tensor  # (classes,): of each class those right at first guess
    there: Tensor  # (classes,): of each class all
    guesses: list[Tensor] = field(default_factory=list)  # of each batch, the class that each picture is taken for

    @classmethod
    def none(cls, classes: int, device: torch.device) -> "Counted":
        right, there = torch.zeros(2, classes, dtype=torch.int64, device=device)
        return cls(torch.zeros(3, dtype=exact(device), device=device), right, there)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits (batch, classes), labels (batch,)."""
        best = logits.topk(min(5, logits.shape[1])).indices
        top = best == labels[:, None]
        self.guesses.append(best[:, 0].to(torch.int16 if logits.shape[1] <= 2**15 else torch.int32))
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.sums += torch.stack([top[:, 0].sum(), top.sum(), loss]).to(self.sums.dtype)
        self.right.index_add_(0, labels, top[:, 0].to(torch.int64))
        self.there.index_add_(0, labels, torch.ones_like(labels))

    def shares(self) -> tuple[float, float, float]:
        """Top-1 and top-5 accuracy, and the mean cross-entropy."""
        top1, top5, loss = (self.sums / self.there.sum()).tolist()
        return top1, top5, loss

    def balanced(self) -> float:
        """Balanced accuracy: the mean over classes of the share of each that is right at first guess."""
        right, there = self.right.double().cpu(), self.there.double().cpu()
        return float((right[there > 0] / there[there > 0]).mean())


def exact(device: torch.device) -> torch.dtype:
    """What sums over a whole validation part are kept in; Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
