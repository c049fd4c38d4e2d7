"""Earn: an event gives points, once for each fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hub.ledger.chain import ask
from hub.ledger.draft import Given
from hub.ledger.records import Amounts, Cause, Earning, Line, earn_key
from hub.storage.tables import to_us
from hub.values import Award, Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def earn(
    book: Book,
    member: str,
    *,
    fact: str,
    awards: Sequence[Award],
    occurred_at: datetime,
    cause: Cause,
    amounts: Amounts | None = None,
    data: Mapping[str, Any] | None = None,
    version: str = "",
) -> Posted | None:
    """Post what a fact earns, and what of it has expired already.

    Args:
        book: open for the member and the fact's `earn_key`.
        member: who earns.
        fact: the canonical fact key.
        awards: as priced; those without points are left out.
        occurred_at: by the source's clock.
        cause: the event that tells of the fact.
        amounts: what the purchase was worth, for its refunds; None where no money was in it.
        data: the canonical event as plain values, without the person. Part of what the key stands for.
        version: the programme that priced it; the current one by default.

    Returns:
        The posting, which is the first one when the fact earned before. None when there are no points: nothing
        is written then, and `earning` stays None.

    Raises:
        KeyReused: the fact earned before with other content.
    """
    key = earn_key(fact)
    money = (amounts.net_minor, amounts.gross_minor, amounts.currency) if amounts else (0, 0, "")
    asked = ask(key, occurred_at=to_us(occurred_at), money=money, data=data)
    if (answer := book.answered(member, asked)) is not None:
        return answer
    given = [award for award in awards if award.points]
    if not given:
        return None
    account = book.catch_up(member)
    version = version or book.program.hash
    draft = book.draft(account, "earn", asked, occurred_at=occurred_at, cause=cause, version=version)
    net, gross, currency = money
    earning = Earning(
        fact, draft.id, account.member, cause.id, version, occurred_at, net, gross, currency, data
    )  # fmt: skip
    over = []
    for award in given:
        expired = award.expires_at is not None and award.expires_at <= book.now
        # What is over before we heard of it was never to be spent: it does not repay debt, and expires below.
        active = award.available_at <= book.now and not expired
        draft.add(award.wallet, "issued", -award.points)
        lot = draft.open_lot(award.wallet, award.points, award.available_at, award.expires_at, active=active)
        draft.awards.append(Given(draft.id, award.rule, lot, award.wanted, award.points))
        line = earning.lines.setdefault((award.rule, award.wallet), Line(award.rule, award.wallet, 0))
        line.given += award.points
        line.lots.append(lot)
        if expired:
            over.append(lot)
    posted = book.post(draft)
    book.remember(earning)
    for lot in over:
        book.expire(lot)
    return posted
