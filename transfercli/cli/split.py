"""transfer split"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import download_option, recipe_option, set_option, skip_option, study_at, study_options
from transfercli.cli.progress import counting


@click.command(short_help="Split a folder's classes into halves A and B.")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--method",
    metavar="random|man-made-natural|FILE",
    help="How to split; FILE is a CSV with the columns class and half. By default the recipe's splits, usually random-0.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0, 2**32 - 1), help="Which random halves; by default 0. The paper's are 0-3."
)
@download_option
@skip_option
@recipe_option
@set_option
@study_options
def split(
    directory: Path | None,
    method: str | None,
    seed: int | None,
    skip_unreadable: bool,
    recipe: str | None,
    overrides: tuple[str, ...],
    folder: Path,
    smoke: bool,
) -> None:
    """Split the classes of the pictures in DIR into two halves, A and B.

    DIR holds train/ and val/ with one folder per class, or is ImageNet as Kaggle or torchvision have it, Tiny-ImageNet-200,
    Hugging Face's parquet, tar shards, a CSV file path,class,part, a packed store, or a set's name such as
    torchvision:CIFAR10 (docs/pictures.md). In val/'s place there
    may be validation/, valid/ or test/; where there are training pictures alone, a share of each class is held out to be
    measured on (pictures.held_out in the recipe). Every picture is decoded once, so that a
    broken one is found now. Without DIR the recipe's built-in pictures are made. In the man-made-natural split half A is
    natural and B man-made, as in the authors' released files (the paper's text says it the other way round). A CSV file may
    call its halves by any two names: the first by the alphabet is A, and what is printed and drawn says the names.

    \b
        transfer split /data/imagenet
        transfer split /data/imagenet --seed 1
        transfer split torchvision:Flowers102 --download
        transfer split /data/imagenet --method man-made-natural
    """
    if seed is not None and method not in (None, "random"):
        raise click.UsageError(f"--seed is for random halves; leave it out with --method {method}")
    random = method == "random" or (method is None and seed is not None)
    study = study_at(folder, smoke)
    made = transfercli.split(
        study,
        directory,
        [f"random-{seed or 0}"] if random else [method] if method else [],
        recipe=recipe,
        overrides=overrides,
        smoke=smoke,
        skip_unreadable=skip_unreadable,
        told=show.telling(study),
        counting=counting,
    )
    show.made(study, made)
    show.next_step("train-base", study=study)
