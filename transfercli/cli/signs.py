"""Signs that an output's encoding does not have: what stands there instead, so that no command ends for want of a minus."""

import codecs
import io
from typing import TextIO

# fmt: off
ASCII = {
    "−": "-", "–": "-", "—": "-", "±": "+/-", "×": "x", "…": "...", "→": "->", "←": "<-", "≥": ">=", "·": "*", "†": "+", "μ": "u",
    "½": "1/2",
}
# fmt: on


def instead(error: UnicodeError) -> tuple[str, int]:
    """The error handler of a codec: signs that mean the same, and ? for what has none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("transfer", instead)


def _ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: click takes a stream that says ascii for a mistake, and writes UTF-8 to it."""
    if name != "transfer_ascii":
        return None
    own = codecs.lookup("ascii")
    return codecs.CodecInfo(
        own.encode, own.decode, own.streamreader, own.streamwriter, own.incrementalencoder, own.incrementaldecoder, name
    )


codecs.register(_ascii)


def fall_back(*streams: TextIO) -> None:
    """Let these streams write what they can, and `instead` of the rest. One in UTF-8 can write all and stays as it is."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and (name := codecs.lookup(stream.encoding).name) != "utf-8":
            stream.reconfigure(encoding="transfer_ascii" if name == "ascii" else None, errors="transfer")


def written(text: str, stream: TextIO) -> str:
    """The text as the stream writes it, for those who count its signs."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "transfer").decode(encoding)
