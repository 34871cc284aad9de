"""The command line: one file per command, words and flags only. Torch is imported inside the commands that train."""

import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from transfercli import __version__
from transfercli.cli.signs import fall_back
from transfercli.system.errors import TransferError, TransferWarning, plain
from transfercli.system.interrupts import Stopped, at_once

# In the order of use: the name, and the module that holds it.
COMMANDS = {
    "demo": "run",
    "advise": "advise",
    "run": "run",
    "pictures": "pictures",
    "pack": "pack",
    "split": "split",
    "train-base": "train_base",
    "sweep": "sweep",
    "plot": "plot",
    "analyze": "analyze",
    "compare": "compare",
    "report": "report",
    "status": "status",
    "verify": "verify",
    "recipes": "recipes",
    "layers": "layers",
    "treatments": "treatments",
    "plan": "plan",
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"transfercli.cli.{COMMANDS[cmd_name]}")
        return getattr(module, cmd_name.replace("-", "_"))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := get_close_matches(args[0], COMMANDS, n=1):
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx) from None
            raise error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="transfer")
def cli() -> None:
    """How transferable are the features of a deep network?

    Reproduces the layer-transfer study of Yosinski, Clune, Bengio and Lipson (NIPS 2014) on ImageNet, or on
    your own pictures. A first look, on built-in pictures, in minutes:

    \b
        transfer demo

    The study in four steps:

    \b
        transfer split DIR              classes in two halves, A and B
        transfer train-base             baseA and baseB
        transfer sweep --layers 1-7     BnB, BnB+, AnB, AnB+ and RnB for each layer n
        transfer plot                   accuracy against layer
    """


def main(args: list[str] | None = None) -> None:
    """Run a command. What the user can mend is one line on standard error and exit code 1; a wrong flag exits with 2.

    Ctrl-C and SIGTERM exit with 130 and 143, and say how to go on.
    """
    fall_back(sys.stdout, sys.stderr)
    try:
        with at_once(), _warned():
            cli.main(args, prog_name="transfer", standalone_mode=False)
    except Stopped as stopped:
        words = shlex.join(["transfer", *(sys.argv[1:] if args is None else args)])
        saved = str(stopped) or "what is done stays done"
        _stop(f"Stopped by {signal.Signals(stopped.number).name}: {saved}; go on with: {words}", 128 + stopped.number)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "transfer"
        _stop(f"Error: {error.format_message().rstrip('.')} (see: {command} --help)", 2)
    except TransferError as error:
        _stop(f"Error: {error}", 1)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        _stop("Error: the memory does not suffice; train fewer networks side by side: --bank-size N", 1)
    except OSError as error:
        _stop(f"Error: {error.filename or 'a file'}: {error.strerror or error}; check the disk and permissions", 1)


@contextmanager
def _warned() -> Iterator[None]:
    """A TransferWarning is one line on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", TransferWarning)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if issubclass(category, TransferWarning):
                click.echo(f"Warning: {plain(str(message))}", err=True)
            else:
                usual(message, category, *where, **how)

        warnings.showwarning = show
        yield


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, torch on a CPU or torch on an accelerator ran out of memory; told without loading torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "DefaultCPUAllocator" in str(error)


def _stop(message: str, code: int) -> None:
    click.echo(plain(message), err=True)  # one line, whatever is in a file's name
    sys.exit(code)
