"""Lets a hub be hurt while orders arrive, lets it finish, compares, and prints the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from hub.crashtest.child import NotReady
from hub.crashtest.sender import PER_S, Platform
from hub.crashtest.site import Site
from hub.crashtest.verdict import Verdict, compare, wait_until_done
from hub.ledger import Report, verify

ACCEPT_WITHIN_S = 120.0
STILL_S = 120.0
"""Nothing may stand still for so long while there is work."""
MOST_SHOWN = 10

OUT = Console(highlight=False, markup=False, soft_wrap=True)
T = TypeVar("T")


def judge(
    hub: Site,
    what: str,
    seed: int,
    hurt: Callable[[Site, Platform], float],
    *,
    losses_wanted: bool = False,
    steady: bool = True,
    per_s: float = PER_S,
    wrong: Sequence[str] = (),
) -> int:
    """Send orders while `hurt` does its worst, let the hub finish, compare, and print.

    Args:
        hub: its processes are started by `hurt`, or at the end.
        what: begins the line of figures.
        seed: of the orders.
        hurt: returns how long the hub took at most to come back, in seconds.
        losses_wanted: the hub is one that must be found out.
        steady: send all the time; otherwise `hurt` sends.
        per_s: orders of each of the sender's threads in a second.
        wrong: sentences that `hurt` writes about what else did not go as it should.

    Returns:
        The exit status: 0 when all is as it should be.
    """
    platform = Platform(hub.config.connections["shop"], hub.web.port, seed, per_s)
    try:
        if steady:
            platform.start()
        recovery_s = hurt(hub, platform)
        hub.start()
        recovery_s = max(recovery_s, hub.web.wait_ready())
        platform.finish(ACCEPT_WITHIN_S)
        done = wait_until_done(hub.database, STILL_S, hub.now)
        hub.stop()
        accepted = platform.accepted
        verdict = compare(hub.database, accepted, hub.sink.calls, hub.sink.posting_of)
        faults = [*wrong, *_repeated(verdict, len(hub.in_flight))]
        report = verify(hub.database, hub.now())
    except NotReady as error:
        OUT.print(f"the hub did not come back: {error}")
        return 2
    _tell(verdict, report, faults, done=done)
    OUT.print(
        f"{what} in_flight {len(hub.in_flight)} sent {len(platform.deliveries)} accepted {len(accepted)} posted {verdict.posted} "
        f"lost {len(verdict.lost)} doubled {len(verdict.doubled)} extra_calls {verdict.extra_calls} "
        f"recovery_s {recovery_s:.2f}"
    )
    if losses_wanted:
        return 0 if verdict.lost else 1
    return 0 if done and not (verdict.lost or verdict.doubled or faults or report.findings) else 1


def _repeated(verdict: Verdict, in_flight: int) -> list[str]:
    """Say when more calls were repeated than were under way when processes died."""
    if verdict.extra_calls <= in_flight:
        return []
    return [f"{verdict.extra_calls} calls were repeated, {in_flight} were under way at the kills"]


def bar(things: Iterable[T], what: str) -> Iterator[T]:
    """Yield things, with a bar that says how far we are, where somebody looks."""
    console = Console(stderr=True)
    yield from track(list(things), what, console=console, transient=True, disable=not console.is_terminal)


def _tell(verdict: Verdict, report: Report, faults: list[str], *, done: bool) -> None:
    if not done:
        OUT.print("the hub did not finish its work in time")
    for problems in (verdict.lost, verdict.doubled, faults, [str(finding) for finding in report.findings]):
        for problem in problems[:MOST_SHOWN]:
            OUT.print(problem)
        if len(problems) > MOST_SHOWN:
            OUT.print(f"... and {len(problems) - MOST_SHOWN} more")
    OUT.print(
        f"the ledger verifies: {report.postings} postings of {report.members} members, {len(report.findings)} findings"
    )
