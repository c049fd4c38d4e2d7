"""The command line: `hub`, or `python -m hub`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command; a fault in a file ends in its list of problems, not in a traceback."""
    from hub.cli.app import app
    from hub.sdk.errors import ConfigError, HubError

    try:
        app()
    except ConfigError as error:
        count = len(error.problems)
        print(f"{count} problem{'s' if count > 1 else ''} to mend first:", file=sys.stderr)  # noqa: T201
        for problem in error.problems:
            print(f"  {problem}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except HubError as error:
        print(f"hub: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
