"""Flags that commands share, and how they find the study and its recipe."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

import transfercli
from transfercli.analysis.metrics import METRICS
from transfercli.cli.progress import asked
from transfercli.recipe import shipped as library
from transfercli.study.hints import USUAL_STUDY, smoke_folder
from transfercli.system.device_names import DEVICES, HERE, Remote, check_device
from transfercli.system.errors import Contradiction, TransferError

if TYPE_CHECKING:
    from transfercli.study.folder import Study

F = TypeVar("F", bound=Callable[..., Any])


def completed(words: Sequence[str], several: bool = False) -> Callable[..., list[str]]:
    """A click completion by these words; `several`: of the last in a comma-separated list."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[str]:
        before = typed.rpartition(",")[0].split(",") if several and "," in typed else []
        lists = [",".join([*before, word]) for word in words if word not in before]
        return [text for text in lists if text.startswith(typed)]

    return complete


def complete_recipe(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The recipes that ship with the package; else files, as the shell completes them."""
    found = [CompletionItem(name) for name in library.names() if name.startswith(typed)]
    return found or [CompletionItem(typed, type="file")]


def study_options(command: F) -> F:
    """`--study` and `--smoke`."""
    return _all(
        command,
        click.option(
            "--study",
            "folder",
            metavar="DIR",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="TRANSFER_STUDY",
            default=Path(USUAL_STUDY),
            show_default=True,
            show_envvar=True,
            help="The study's folder.",
        ),
        click.option("--smoke", is_flag=True, help="The same study so small that it ends in seconds, in the folder DIR-smoke."),
    )


def study_argument(command: F) -> F:
    """`[STUDY]`, which is another way to say `--study`."""

    @wraps(command)
    def with_the_study(*args: Any, place: Path | None, folder: Path, **rest: Any) -> Any:
        return command(*args, folder=named_once(place, folder), **rest)

    argument = click.argument("place", metavar="[STUDY]", required=False, type=click.Path(file_okay=False, path_type=Path))
    return argument(with_the_study)  # type: ignore[return-value]


def named_once(place: Path | None, folder: Path) -> Path:
    """The study that a command names: as an argument, which may be missing, or with `--study`; naming two is a wrong flag."""
    source = click.get_current_context().get_parameter_source("folder")
    if place is not None and source is click.core.ParameterSource.COMMANDLINE and place != folder:
        raise click.UsageError(f"the study is named twice, {place} and --study {folder}; name one")
    return place or folder


def recipe_option(command: F) -> F:
    """`--recipe`."""
    return _all(
        command,
        click.option(
            "--recipe",
            metavar="NAME|FILE",
            shell_complete=complete_recipe,
            help="The recipe (see: transfer recipes); by default the study's own.",
        ),
    )


def network_option(command: F) -> F:
    """`--network`: a name for the recipe; or one's own function, whose code may run because the command line names it."""

    @wraps(command)
    def called(*words: Any, network: tuple[str, ...], **how: Any) -> Any:
        names = [transfercli.allow_network(name) if ":" in name else name for name in network]
        if "overrides" in how:
            how["overrides"] = (*(f"network.name={name}" for name in names), *how["overrides"])
        return command(*words, **how)

    return click.option(
        "--network",
        metavar="NAME",
        multiple=True,
        help="Another network: torchvision/NAME, timm/NAME, or package.module:function, your own code, which then runs; "
        "repeatable where a recipe has several.",
    )(called)  # type: ignore[return-value]


def set_option(command: F) -> F:
    """`--set`, and `--network`."""
    return changes_option(network_option(command))


def changes_option(command: F) -> F:
    """`--set` alone."""
    return _all(
        command,
        click.option(
            "--set",
            "overrides",
            metavar="KEY=VALUE",
            multiple=True,
            callback=_check_overrides,
            help="Change one key of the recipe, as training.epochs=5; repeatable.",
        ),
    )


def skip_option(command: F) -> F:
    """`--skip-unreadable`."""
    return _all(
        command,
        click.option(
            "--skip-unreadable",
            is_flag=True,
            help="Leave out pictures that cannot be decoded; split.json (of a store, store.json) names them.",
        ),
    )


def download_option(command: F) -> F:
    """`--download`, of commands that take pictures, as `directory` or among `places`."""

    @wraps(command)
    def fetched(*args: Any, download: bool, **rest: Any) -> Any:
        place = rest.get("directory") or next(iter(rest.get("places", ())), None)
        if download:
            try:
                transfercli.fetch(place or "")
            except Contradiction as error:
                raise click.UsageError(str(error)) from None
        return command(*args, **rest)

    return click.option(
        "--download", is_flag=True, help="Where DIR is a set by its name, as torchvision:CIFAR10: fetch what is not there yet."
    )(fetched)  # type: ignore[return-value]


def device_options(command: F) -> F:
    """`--device` and `--bank-size`."""
    return _all(
        command,
        click.option(
            "--device",
            metavar="|".join(DEVICES),
            default="auto",
            show_default=True,
            callback=parsed(check_device),
            shell_complete=completed(DEVICES),
            help="Where to train; auto is CUDA where there is one.",
        ),
        click.option(
            "--bank-size",
            metavar="N",
            type=click.IntRange(1),
            help="How many networks train side by side; by default as many as fit in memory. No result depends on it.",
        ),
    )


def ray_options(command: F) -> F:
    """`--ray`, `--workers` and `--cpus-per-bank`, as the one argument `remote`."""

    @wraps(command)
    def elsewhere(*args: Any, device: str, ray: str | None, workers: int | None, cpus: int | None, **rest: Any) -> Any:
        if ray is None and (workers or cpus):
            raise click.UsageError("--workers and --cpus-per-bank go with --ray")
        if ray is not None and device not in (known := ("auto", "cpu", "cuda")):
            raise click.UsageError(f"--ray goes with --device {', '.join(known)}: which of several is Ray's to say, not {device}")
        if ray is not None and Path(ray).exists():
            raise click.UsageError(f"--ray takes the address of a cluster, and {ray} is a folder or a file; put --ray last")
        remote = None if ray is None else Remote(ray, device, workers, cpus)
        return command(*args, device=device, remote=remote, **rest)

    return _all(
        elsewhere,  # type: ignore[return-value]
        click.option(
            "--ray",
            metavar="[ADDRESS]",
            is_flag=False,
            flag_value=HERE,
            help="Train banks side by side on all GPUs of this machine (or --workers), or of the Ray cluster at ADDRESS.",
        ),
        click.option("--workers", metavar="N", type=click.IntRange(1), help="With --ray: how many banks at once, at the most."),
        click.option(
            "--cpus-per-bank", "cpus", metavar="N", type=click.IntRange(1), help="With --ray: processors of each; else a share."
        ),
    )


def changing(overrides: Sequence[str]) -> list[str]:
    """The flags with which the next command changes the recipe as this one did."""
    own = "network.name=python/"  # which --network made of one's own code, and makes again
    pairs = [("--network", word.removeprefix(own)) if word.startswith(own) else ("--set", word) for word in overrides]
    return [word for pair in pairs for word in pair]


def on_the_same(device: str, bank_size: int | None, accept_change: bool = False, remote: Remote | None = None) -> list[str]:
    """The flags with which the next command trains where and as this one did."""
    words = ["--device", device] if device != "auto" else []
    words += ["--bank-size", str(bank_size)] if bank_size else []
    words += ["--accept-change"] * accept_change
    if remote is not None:
        counts = {"--workers": remote.workers, "--cpus-per-bank": remote.cpus}
        words += [word for key, count in counts.items() if count for word in (key, str(count))]
        words += ["--ray", *([remote.address] if remote.address != HERE else [])]
    return words


def json_option(command: F) -> F:
    """`--json`."""
    return _all(
        command,
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for scripts (docs/json.md)."),
    )


def report_options(command: F) -> F:
    """`--quiet` and `--tensorboard`, of commands that train."""

    @wraps(command)
    def reported(*args: Any, quiet: bool, tensorboard: bool, **rest: Any) -> Any:
        with asked(quiet, tensorboard):
            return command(*args, **rest)

    quiet = click.option("--quiet", is_flag=True, help="Say nothing but errors: no progress, no tables; the exit code tells.")
    words = "Write live curves too; to see them: tensorboard --logdir STUDY/tensorboard."
    return quiet(click.option("--tensorboard", is_flag=True, help=words)(reported))  # type: ignore[return-value]


def accept_option(command: F) -> F:
    """`--accept-change`."""
    return _all(
        command,
        click.option(
            "--accept-change",
            is_flag=True,
            help="Go on with other numerics, torch, torchvision, timm, Pillow or precision than at first; the rows will say so.",
        ),
    )


def metric_option(command: F) -> F:
    """`--metric`."""
    return _all(
        command,
        click.option(
            "--metric",
            type=click.Choice(list(METRICS)),
            help="The accuracy of the last evaluation, or the mean of the ten best: the paper's, for recipes that measure often; "
            "or the last one's balanced accuracy, in which each class counts alike, where classes are unequal.",
        ),
    )


def _all(command: F, *options: Callable[[F], F]) -> F:
    """The command with these options, which its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A click callback that parses a flag's text; what cannot be read is a wrong flag (exit code 2)."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except TransferError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback


def _check_overrides(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        key, equals, _ = value.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise click.BadParameter(f"cannot read {value!r}; write key=value, such as training.epochs=5", ctx, param)
    return values


def study_at(folder: Path, smoke: bool) -> "Study":
    """The study of these flags."""
    from transfercli.study.folder import Study

    return Study(smoke_folder(folder) if smoke else folder)
