"""Snapshots: a base's weights as they were after a share of its steps, so that it can be a source that stopped early.

They are written as training passes; what was killed and resumed writes them as if it had not been.
"""

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from transfercli.networks.start import Source
from transfercli.plan.networks import Network
from transfercli.recipe.schema import Training
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.files import replacing
from transfercli.training.bank import Bank


def step_of(share: float, steps: int) -> int:
    """After which step of so many the snapshot is taken: never before the first."""
    return max(1, round(share * steps))


def path_of(study: Study, network: Network, share: float) -> Path:
    return study.folder(network) / f"at-{share}.safetensors"


def keep(study: Study, bank: Bank, training: Training) -> None:
    """Write the snapshots of a bank's bases that are due at the step where it is."""
    for share in training.snapshots:
        if bank.step_number == step_of(share, bank.steps):
            for member in (one for one in bank.live if one.network.is_base and not one.network.of_axes("training")):
                state = {name: tensor.detach().cpu().contiguous() for name, tensor in member.module.state_dict().items()}
                with replacing(path_of(study, member.network, share)) as aside:
                    save_file(state, aside, {"step": str(bank.step_number)})


def kept(study: Study, network: Network, shares: Iterable[float]) -> str:
    """The snapshots that there are of a network, and their digests, as its row has them: "0.1=<sha256> 0.25=<sha256>".

    Raises TransferError where one is damaged.
    """
    found = {share: path for share in shares if (path := path_of(study, network, share)).exists()}
    try:
        return " ".join(f"{share}={Source.of(load_file(path)).digest}" for share, path in found.items())
    except (SafetensorError, OSError) as error:
        raise TransferError(
            f"a snapshot in {study.folder(network)} is damaged ({error}); remove that folder and train the network again"
        ) from None
