"""Pictures that are there more than once, byte for byte."""

from collections.abc import Iterable, Mapping

Same = tuple[str, ...]  # paths of one content, of more than one picture


class Twice:
    """Pictures as they are read, by the digest of their bytes."""

    def __init__(self) -> None:
        self.first: dict[bytes, str] = {}
        self.more: dict[bytes, list[str]] = {}

    def add(self, path: str, digest: bytes) -> None:
        if (first := self.first.setdefault(digest, path)) != path:
            self.more.setdefault(digest, [first]).append(path)

    @property
    def found(self) -> tuple[Same, ...]:
        return tuple(sorted(tuple(sorted(paths)) for paths in self.more.values()))


def across(every: Iterable[Same], place: Mapping[str, str]) -> tuple[Same, ...]:
    """Of what is there more than once, that which is in more than one place; a path that has none does not count."""
    return tuple(same for same in every if len({place[path] for path in same if path in place}) > 1)
