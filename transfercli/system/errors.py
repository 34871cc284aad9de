"""The one error that a user sees: a line that says what is wrong and how to mend it."""


def plain(text: str) -> str:
    """The text as one line in which nothing is left that a terminal obeys: such a character becomes its escape.

    Names of files and classes come from anywhere, and may hold line breaks, colours, or marks that turn the direction of reading.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class TransferError(Exception):
    """Something that the user can mend. Commands print it as one line and exit with 1."""


class Contradiction(TransferError):
    """Arguments that exclude each other: as flags of a command they are wrong, and it exits with 2."""


class TransferWarning(UserWarning):
    """Something that the user should know. Commands print it as one line on standard error and go on."""
