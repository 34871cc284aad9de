"""The one error that a user sees: a line that says what is wrong and how to mend it."""


class TransferError(Exception):
    """Something that the user can mend. Commands print it as one line and exit with 1."""
