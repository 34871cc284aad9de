"""By which recipe a study goes on: its own, or another as long as nothing was made that this one would make otherwise."""

import math
from collections.abc import Collection, Sequence

from transfercli.plan.networks import of_row
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError

SMOKE_CROP, SMOKE_BATCH, SMOKE_LAYERS = 64, 4, 2  # of a smoke run with a network of a library


def settle_recipe(study: Study, name: str | None, overrides: Sequence[str] = (), smoke: bool = False) -> Recipe:
    """The recipe that a command works by: the study's own, or the one asked for if nothing was made by another yet.

    Nothing is written. Raises TransferError where the study has no recipe and none was named, and where the study was made
    by a recipe that would give other numbers.
    """
    recipe = settled(wanted_recipe(study, name, overrides, smoke))
    refuse_changes(study, recipe)
    recipe.define_treatments()
    return recipe


def settled(recipe: Recipe) -> Recipe:
    """The recipe with all that is found out, and no choice: its network's layers, the digest of its source's weights."""
    recipe = cut(recipe)
    if (source := recipe.pretrained) is None or source.digest is not None:
        return recipe
    from transfercli.networks.pretrained import find  # which takes torch

    digest = find(source.weights or "", recipe.network, recipe.pictures.crop).digest
    return recipe.model_copy(update={"source": source.model_copy(update={"digest": digest})})


def cut(recipe: Recipe) -> Recipe:
    """The recipe with the number of its networks' layers, where only a library tells that."""
    if all(one.network.settled for one in recipe.each().values()):
        return recipe
    from transfercli.networks import catalogue  # which takes torch

    if recipe.networks is None:
        return catalogue.settled(recipe)
    return recipe.model_copy(update={"networks": tuple(catalogue.settled(one).network for one in recipe.each().values())})


def wanted_recipe(study: Study, name: str | None, overrides: Sequence[str], smoke: bool) -> Recipe:
    """The recipe named, else the study's own; with overrides. Raises TransferError where there is none."""
    if name is None:
        own = study.recipe()
        if not overrides:
            return own
        return recipes.load(recipes.dump(own), f"the recipe of {study.root}", overrides)
    recipe = recipes.find(name, overrides)
    return _smoke(recipe) if smoke else recipe


def _smoke(recipe: Recipe) -> Recipe:
    """Its smoke variant. Networks of libraries, which cannot be made slim, are few and get small pictures, if they take them."""
    smoke = recipes.smoke(recipe)
    if not any(one.network.library for one in smoke.each().values()):
        return smoke
    size, crop = smoke.pictures.size, smoke.pictures.crop
    listed = isinstance(smoke.layers, tuple) and len(smoke.layers) <= SMOKE_LAYERS
    few = [f"training.batch={SMOKE_BATCH}", *[f"layers={{spread: {SMOKE_LAYERS}}}"] * (not listed)]
    small = [f"pictures.size={math.ceil(size * SMOKE_CROP / crop)}", f"pictures.crop={SMOKE_CROP}"] * (crop > SMOKE_CROP)
    try:
        return cut(recipes.load(recipes.dump(smoke), f"the smoke variant of {recipe.name}", [*few, *small]))
    except TransferError:  # a network that takes no such pictures; or one that cannot be had at all, which is told then
        return recipes.load(recipes.dump(smoke), f"the smoke variant of {recipe.name}", few)


def refuse_changes(study: Study, recipe: Recipe, remade: Collection[str] = ()) -> None:
    """Raise TransferError where the study holds networks, or splits other than those `remade`, that another recipe made."""
    if not study.recipe_file.exists():
        return
    own = study.recipe()
    changed = recipes.differences(own, recipe)
    what = f"another recipe ({own.name}; {_some(changed)})"
    if changed and study.rows():
        raise TransferError(f"the networks in {study.root} were trained by {what}; start a new study: --study DIR")
    if gone := sorted({of_row(row).net for row in study.rows()} - recipe.each().keys()):
        called = f"called {gone[0]}" if gone[0] else "without a name beside others"
        raise TransferError(
            f"{study.root} holds networks {called}, which the recipe {recipe.name} has not; "
            "put it back into networks, or start a new study: --study DIR"
        )
    ours, wanted = study.own_treatments(), {one.name: one.rule for one in recipe.own_treatments}
    if other := sorted({row["treatment"] for row in study.rows()} & {name for name in ours if ours[name] != wanted.get(name)}):
        raise TransferError(
            f"{study.root} holds networks of {other[0]} as its recipe defines it, which {recipe.name} does not; "
            "call yours otherwise, or start a new study: --study DIR"
        )
    stale = [split for split in study.split_names() if split not in remade]
    if stale and any(key.startswith("pictures.") for key in changed):
        raise TransferError(
            f"the split {stale[0]} in {study.root} was made by {what}; "
            "make it again with this one: transfer split DIR --recipe NAME, or start a new study: --study DIR"
        )


def _some(texts: list[str], most: int = 3) -> str:
    return "; ".join(texts[:most]) + (f"; and {len(texts) - most} more" if len(texts) > most else "")
