"""The command line: `hub`, or `python -m hub`."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main() -> None:
    """Run a command. What a person can mend ends in a sentence, not in a traceback."""
    from hub.cli.app import app

    told(app)


def told(run: Callable[[], None]) -> None:
    """Run something, and end this process with a sentence where a person can mend what is wrong."""
    try:
        run()
    except Exception as error:
        explanation = explained(error)
        if explanation is None:
            raise
        status, lines = explanation
        print("\n".join(lines), file=sys.stderr)  # noqa: T201
        sys.exit(status)


def explained(error: Exception) -> tuple[int, list[str]] | None:
    """Return the exit status and the lines that tell of an error; None when it is a fault of ours."""
    from sqlalchemy.exc import OperationalError

    from hub.sdk.errors import ConfigError, HubError

    if isinstance(error, ConfigError):
        count = len(error.problems)
        heading = f"{count} problem{'s' if count != 1 else ''} to mend first:"
        return 2, [heading, *(f"  {problem}" for problem in error.problems)]
    if isinstance(error, OperationalError):
        return 1, [f"hub: the database does not answer: {error.orig}"]
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return 1, ["hub: PostgreSQL needs its driver: pip install 'points-hub[postgresql]'"]
    if isinstance(error, HubError):
        return 1, [f"hub: {error}"]
    return None
