"""The recipes that ship with the package, as texts; light, as a shell asks for their names while somebody types."""

from importlib import resources
from pathlib import Path

from transfercli.system.errors import TransferError


def names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


def text(name: str) -> str:
    """The YAML text of a recipe that ships with the package, or of a file. Raises TransferError."""
    if name in names():
        return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise TransferError(f"no recipe {name!r}; choose from {', '.join(names())}, or give a .yaml file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TransferError(f"no recipe file {name}; copy one: transfer recipes copy demo {name}") from None
    except (OSError, ValueError) as error:
        raise TransferError(f"cannot read the recipe {name}: {error}; check the file") from None


def _folder() -> resources.abc.Traversable:
    """`recipes/` of the checkout, which a wheel carries as `transfercli/recipes`."""
    packaged = resources.files("transfercli") / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"
