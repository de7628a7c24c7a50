"""CaloFlow's student: it learns to make the teacher's showers in a single pass (arXiv:2110.11377)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hepml_nb.calo.caloflow import SMALL_TEACHER, CaloFlow, CaloFlowConfig
from hepml_nb.calo.masked import MaskedBlock, MaskedFlow
from hepml_nb.calo.rows import TurnedBatches
from hepml_nb.calo.training import epochs_of
from hepml_nb.core import InputError
from hepml_nb.learn import FitConfig, History, fit
from hepml_nb.learn.flow_matching import validation_noise

__all__ = ["CaloFlowStudent", "StudentConfig", "StudentFlow", "student_losses"]


@dataclass(frozen=True, kw_only=True)
class StudentConfig(CaloFlowConfig):
    """The teacher's settings, affine; student_hidden: layers of the student's networks. student_fit: its training."""

    transform: Any = "affine"
    student_hidden: tuple[int, ...] = (736,)
    student_fit: FitConfig = field(default_factory=lambda: FitConfig(epochs=100, lr=1e-3, batch_size=175))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transform != "affine":
            raise InputError(f"transform={self.transform!r}; a student is only there of an affine teacher.")


class StudentFlow(nn.Module):
    """An inverse autoregressive flow (arXiv:1606.04934) with one block for each of a teacher's.

    A block finds the scales and shifts that the teacher's block applied, and undoes them. It takes normal numbers in
    the teacher's order, and is told the numbers before each, not the results: all come in one pass. The splines of
    single voxels are the teacher's.
    """

    def __init__(self, teacher: MaskedFlow, context: int, hidden: tuple[int, ...], clamp: float) -> None:
        super().__init__()
        self.features, as_they_come = teacher.features, torch.arange(teacher.features)
        self.blocks = nn.ModuleList(
            MaskedBlock(self.features, context, hidden, clamp, as_they_come) for _ in teacher.blocks
        )

    def steps(self, z: Tensor, told: Tensor, teacher: MaskedFlow) -> tuple[list[Tensor], list[Tensor]]:
        """Return bent numbers, the numbers between blocks, and z (n, features), and the scales and shifts that are
        undone: as `MaskedFlow.steps`, from behind."""
        found, terms = [z], []
        pairs: list[Any] = list(zip(self.blocks, teacher.blocks, strict=True))
        for block, taught in reversed(pairs):
            scale, shift = block.terms(found[-1], told)
            terms.append(torch.stack([scale, shift]))
            found.append(((found[-1] - shift) * (-scale).exp())[:, taught.back])
        return found[::-1], terms[::-1]

    def forward(self, z: Tensor, context: Tensor, teacher: MaskedFlow) -> Tensor:
        """Return x (n, features) for normal numbers z and a context (n, k)."""
        told = teacher.context_scale(context)
        return teacher.unbend(self.steps(z, told, teacher)[0][0], told)


def student_losses(
    student: StudentFlow, teacher: MaskedFlow, x: Tensor, context: Tensor, z: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the x-loss and the z-loss of arXiv:2110.11377, scalars, for data x and normal numbers z (n, features).

    x-loss: the teacher takes x to normal numbers, the student takes those back. z-loss: the student takes z to a
    shower, the teacher takes that to normal numbers. Each is the squared difference of the two ways, summed over where
    they end, the numbers between blocks and the scales and shifts of all blocks (the paper's "fully guided" student),
    here over the number of terms; showers are compared bent.
    """
    told = teacher.context_scale(context)
    with torch.no_grad():
        there, taught = teacher.steps(teacher.bend(x, told)[0], told)
    back, undone = student.steps(there[-1], told, teacher)
    made, done = student.steps(z, told, teacher)
    returned, asked = teacher.steps(made[0], told)
    return _apart(there[:-1] + taught, back[:-1] + undone), _apart(made[1:] + done, returned[1:] + asked)


def _apart(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """Return the mean squared difference; scales and shifts of a block are two terms."""
    sums = torch.stack([(a - b).square().sum() for a, b in zip(one, other, strict=True)])
    return sums.sum() / sum(a.numel() for a in one)


class CaloFlowStudent(CaloFlow):
    """CaloFlow's student (arXiv:2110.11377): an inverse autoregressive flow, fitted to a teacher by distillation.

    The teacher (`CaloFlow`, affine) is trained first, or given by `learn_from`; then the student learns to undo the
    teacher's map from showers to normal numbers, block by block, by `student_losses`. It makes showers in one pass
    that the teacher draws voxel by voxel. The paper has splines in all blocks of both, and the z-loss of new energies
    and layers, where here it is told those of the batch.
    """

    name = "caloflow-student"
    configs: ClassVar[Mapping[str, Any]] = {
        "paper": StudentConfig(),
        "small": StudentConfig(
            **SMALL_TEACHER,
            student_hidden=(256, 256),
            student_fit=FitConfig(epochs=20, lr=2e-3, batch_size=256, patience=None, clip=1.0, warmup=0.2),
        ),
    }
    teacher: CaloFlow | None = None
    student: StudentFlow
    student_history: History

    def learn_from(self, teacher: CaloFlow) -> CaloFlowStudent:
        """Take a fitted affine teacher: `fit` then trains the student only. Raises InputError for another one."""
        if not isinstance(getattr(teacher, "voxel_flow", None), MaskedFlow):
            raise InputError("a student learns from a fitted teacher that is affine: caloflow with transform='affine'.")
        self.teacher = teacher
        return self

    def _fit(self, train: Any, val: Any, seed: int, untrained: bool) -> None:
        if self.teacher is None:
            super()._fit(train, val, seed, untrained)
            return
        if self.teacher.geometry.name != train.geometry.name:
            raise InputError(
                f"the teacher knows {self.teacher.geometry.name}, the showers are of {train.geometry.name}."
            )
        taught = ("_map", "_voxels", "layer_flow", "layer_history", "voxel_flow", "history")
        self.__dict__.update({name: getattr(self.teacher, name) for name in taught})
        self._distil(*self._batches(train, val, seed), seed, untrained)

    def _learn(self, shown: TurnedBatches, apart: TurnedBatches, seed: int, untrained: bool) -> None:
        super()._learn(shown, apart, seed, untrained)
        self._distil(shown, apart, seed, untrained)

    def _distil(self, shown: TurnedBatches, apart: TurnedBatches, seed: int, untrained: bool) -> None:
        """Fit the student to the teacher on batches (x, context)."""
        config = self.config
        context = shown.tensors[-1].shape[1]
        torch.manual_seed(seed)
        self.student = StudentFlow(self.voxel_flow, context, config.student_hidden, config.clamp)
        self.voxel_flow.requires_grad_(False)
        self.student_history = fit(
            self.student, self.loss, shown, apart, epochs_of(config.student_fit, untrained), seed=seed, desc="student"
        )

    def loss(self, student: StudentFlow, batch: Any) -> Tensor:
        """Return the sum of `student_losses` of a batch (x, context)."""
        x, context = batch
        z = torch.randn(x.shape, generator=validation_noise(student, x), device=x.device)
        x_loss, z_loss = student_losses(student, self.voxel_flow, x, context, z)
        return x_loss + z_loss

    def _draw(self, context: Tensor) -> Tensor:
        z = torch.randn(len(context), self.student.features)
        drawn: Tensor = self.student.eval()(z, context, self.voxel_flow)
        return drawn
