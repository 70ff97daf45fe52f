"""The command line: `netopsd --help`.

Errors go to stderr and say what to do. Exit codes: 0 done, 1 failed, 2 bad configuration or usage.
What is slow to import is imported by the command that needs it, and where the first word is a
command no other module's commands are built: thirty of them take a tenth of a second.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

import typer

from netopsd.errors import BadConfiguration, NetopsdError
from netopsd.logs import plain

EX_FAILED, EX_USAGE, EX_INTERRUPTED = 1, 2, 130
EPILOG = "First steps:  netopsd demo · netopsd check --config DIR · netopsd run --config DIR"
COMMANDS = {  # module of this folder → the commands it adds; `--help` has them in this order
    "daemon": ("run", "demo", "check", "dump"),
    "collecting": ("collect",),
    "looking": ("discover", "poll"),
    "lists": ("alarms", "tickets", "sla", "usage"),
    "acts": ("ack", "shelve", "unshelve", "ticket", "outbox"),
    "retelling": ("replay",),
    "orders": ("activate", "orders", "order", "cancel-order"),
}


def build(word: str = "") -> typer.Typer:
    """Return the command line: as far as `word` goes where that is a command, else the whole."""
    app = typer.Typer(
        name="netopsd",
        help="Network monitoring and fault management with a billing bridge.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    parts = [part for part, names in COMMANDS.items() if word in names] or list(COMMANDS)
    for part in parts:
        import_module(f"netopsd.cli.{part}").add(app)
    return app


def say_version(wanted: bool) -> None:
    """Print the version and end, where that was asked for."""
    if wanted:
        from netopsd import __version__

        print(f"netopsd {__version__}")
        raise typer.Exit


def root(
    version: bool = typer.Option(
        False, "--version", callback=say_version, is_eager=True, help="Say which version this is."
    ),
) -> None:
    """Network monitoring and fault management with a billing bridge."""
    del version  # its callback has done it


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):  # whose terminal is not UTF-8 sees \u2192 for an arrow
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(guarded(lambda: build(*words[:1])(args=arguments)))


def guarded(command: Callable[[], object]) -> int:
    """Return the exit code of `command`; what it was expected to fail with is said in words."""
    code = 0
    try:
        command()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except KeyboardInterrupt:
        code = EX_INTERRUPTED
    except BadConfiguration as bad:
        say_problems(bad.problems)
        code = EX_USAGE
    except UnicodeEncodeError as error:
        # Nothing else holds such characters: files, answers and rows are decoded strictly.
        said = ascii(error.object[max(0, error.start - 20) : error.end + 20])
        print(f"netopsd: {said} is not UTF-8 text; type it on a UTF-8 terminal", file=sys.stderr)
        code = EX_USAGE
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EX_FAILED
    except (NetopsdError, OSError) as error:
        code = say_failures([error])
    except BaseExceptionGroup as group:
        code = say_failures(list(leaves(group)))
    return code


def say_failures(errors: Sequence[BaseException]) -> int:
    """Write errors we expect to stderr and return the exit code; raise any other one."""
    for error in errors:
        if not isinstance(error, NetopsdError | OSError):
            raise error
        print(f"netopsd: {plain(in_words(error))}", file=sys.stderr)
    return EX_FAILED


def in_words(error: BaseException) -> str:
    """Return an error's text, that of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions of a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def say_problems(problems: Sequence[str]) -> None:
    """Write the mistakes of a configuration to stderr, one a line, and their number."""
    for problem in problems:
        print(plain(problem), file=sys.stderr)
    count = len(problems)
    print(f"netopsd: {count} mistake{'s' if count != 1 else ''} found", file=sys.stderr)
