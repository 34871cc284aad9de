"""What an advice study says, for those who show it. Torch is loaded only where there is one."""

from typing import TYPE_CHECKING

from transfercli.study.folder import Study

if TYPE_CHECKING:
    from transfercli.advice.answer import Advice


def advice_in(study: Study) -> "Advice | None":
    """Its answer; None of any other study. Raises TransferError."""
    if not study.advice_file.exists():
        return None
    from transfercli.advice.advising import advice_of

    return advice_of(study)
