"""The application below `/api/v1`: each route with the scope that opens it.

A write is done once for each idempotency key of a token. The key goes down into the ledger as `api:<token>:<key>`,
where keys never expire; what it stood for is kept, so that another request under it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException

from hub import __version__, ledger, members, redeeming
from hub.api import shapes as s
from hub.api import tokens
from hub.api.problems import BY_STATUS, Problem, ProblemBody, invalid, respond
from hub.ledger.chain import request_hash
from hub.rewards import Redemption, Rewards, Scope, Voucher, cards, catalogue, reading, redemptions, vouchers
from hub.sdk import HubError
from hub.sdk.errors import InsufficientPoints, KeyReused
from hub.storage import insert_new
from hub.storage.tables import api_key, member, redemption

if TYPE_CHECKING:
    from hub.hub import Hub

PREFIX = "/api/v1"
MOST_LOTS = 1000
KEY_LENGTH = 200
NOBODY = str(UUID(int=0))
"""An id that no member has."""
View = Callable[..., Any]

log = structlog.get_logger()


def create_api(hub: Hub) -> OpenAPI:
    """Return the API of a hub, a WSGI application of its own."""
    app = OpenAPI(
        "hub.api",
        info=Info(title="Points Hub", version=__version__),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_status=400,
        validation_error_model=ProblemBody,
        validation_error_callback=invalid,
        operation_id_callback=lambda *, name, **_: name,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    _Api(hub, app)
    return app


class _Api:
    """The routes of one hub."""

    def __init__(self, hub: Hub, app: OpenAPI) -> None:
        self.hub, self.app = hub, app
        self.scopes: dict[str, str] = {}
        app.before_request(self.admit)
        app.errorhandler(HubError)(refused)
        app.errorhandler(HTTPException)(http_refused)
        app.errorhandler(Exception)(failed)
        get, post = self.app.get, self.app.post
        for method, path, view, scope, answer in (
            (get, "/members", self.find, "members:read", s.Refs),
            (get, "/members/<id>", self.member, "members:read", s.Member),
            (get, "/members/<id>/balance", self.balance, "members:read", s.Balance),
            (get, "/members/<id>/history", self.history, "members:read", s.History),
            (get, "/members/<id>/rewards", self.rewards, "members:read", s.Offers),
            (get, "/catalogue", self.catalogue, "catalogue:read", s.Offers),
            (post, "/redemptions", self.redeem, "redemptions:write", s.Redemption),
            (get, "/redemptions/<id>", self.redemption, "members:read", s.Redemption),
            (post, "/redemptions/<id>/confirm", self.confirm, "redemptions:write", s.Redemption),
            (post, "/redemptions/<id>/release", self.release, "redemptions:write", s.Redemption),
            (post, "/redemptions/<id>/return", self.give_back, "redemptions:write", s.Redemption),
            (get, "/vouchers/<code>", self.validate, "vouchers:write", s.Verdict),
            (post, "/vouchers/<code>/redeem", self.use, "vouchers:write", s.Voucher),
            (post, "/vouchers/<code>/roll-back", self.roll_back, "vouchers:write", s.Voucher),
            (post, "/vouchers/<code>/charge", self.charge, "vouchers:write", s.Voucher),
        ):
            self._route(method, path, view, scope, answer)
        app.route(f"{PREFIX}/openapi.json")(self.document)

    def _route(self, method: Any, path: str, view: View, scope: str, answer: type[BaseModel]) -> None:
        writes = method == self.app.post
        statuses = (400, 401, 403, 404, 409, 422) if writes else (400, 401, 403, 404, 422)
        self.scopes[view.__name__] = scope
        method(
            f"{PREFIX}{path}",
            endpoint=view.__name__,
            security=[{"token": []}],
            description=f"Scope: {scope}." + (" Needs the header Idempotency-Key." if writes else ""),
            responses={"200": answer, **{str(status): ProblemBody for status in statuses}},
        )(plain(view))

    def admit(self) -> Response | None:
        """Let in who may ask for this; note who it is."""
        scope = self.scopes.get(request.endpoint or "")
        if scope is None:
            return None
        now = self.hub.clock()
        kind, _, sent = request.headers.get("Authorization", "").partition(" ")
        with self.hub.database.read() as tx:
            token = tokens.check(tx, sent, now) if kind.lower() == "bearer" else None
        if token is None:
            return respond("unauthorized", "there is no token, or it is unknown, expired or revoked")
        if scope not in token.scopes:
            return respond("forbidden", f"the token {token.name} has not the scope {scope}")
        if tokens.is_due(token, now):
            with self.hub.database.write() as tx:
                tokens.note_use(tx, token, now)
        g.token = token
        return None

    # --- reading -------------------------------------------------------------------------------------------

    def find(self, query: s.Lookup) -> dict[str, Any]:
        """Find members by what they are known by."""
        with self.hub.database.read() as tx:
            found = members.find(tx, query.identity)
        return dump(s.Refs(items=[s.Ref(id=each, url=f"{PREFIX}/members/{each}") for each in found]))

    def member(self, path: s.ById) -> dict[str, Any]:
        """Show a member."""
        with self.hub.database.read() as tx:
            known(tx, path.id)
            person = members.person(tx, str(path.id))
        ids = [s.Identity(source=source, value=value) for source, value in person.ids]
        told = {k: v for k, v in asdict(person).items() if k != "ids"}
        return dump(s.Member(identities=ids, **told))

    def balance(self, path: s.ById) -> dict[str, Any]:
        """Show a member's points by wallet. Points that are over by now do not count, swept or not."""
        now = self.hub.clock()
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
            held = ledger.balances(tx, who)
            lots = ledger.open_lots(tx, who, limit=MOST_LOTS)
        wallets = []
        for each in held:
            over, soon = 0, dict[datetime, int]()
            for lot in lots:
                if lot.wallet != each.wallet or lot.expires_at is None or not lot.active:
                    continue
                if lot.expires_at <= now:
                    over += lot.active
                else:
                    soon[lot.expires_at] = soon.get(lot.expires_at, 0) + lot.active
            expiring = [s.Expiring(points=points, expires_at=at) for at, points in sorted(soon.items())]
            wallets.append(s.Wallet(**asdict(each) | {"active": each.active - over}, expiring=expiring))
        return dump(s.Balance(member=who, wallets=wallets))

    def history(self, path: s.ById, query: s.Page) -> dict[str, Any]:
        """List a member's postings, newest first."""
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
            rows = ledger.last_postings(tx, who, query.limit + 1, before=query.after)
        page = [s.Posting.model_validate(row, from_attributes=True) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        url = f"{PREFIX}/members/{who}/history?after={page[-1].seq}&limit={query.limit}" if more else None
        return dump(s.History(items=page, next=url))

    def rewards(self, path: s.ById) -> dict[str, Any]:
        """List what a member can have now, the most likely first."""
        with self.hub.database.read() as tx:
            about = redeeming.facts(self.hub, tx, known(tx, path.id))
            found = catalogue.affordable(tx, self.hub.programs.current, about, self.hub.clock())
        return offers(found)

    def catalogue(self) -> dict[str, Any]:
        """List every reward, whoever may have it."""
        with self.hub.database.read() as tx:
            found = catalogue.offers(tx, self.hub.programs.current, {"id": NOBODY}, self.hub.clock())
        return offers(found)

    def redemption(self, path: s.ById) -> dict[str, Any]:
        """Show a redemption, with its vouchers."""
        self._there(path.id)
        return self._act(Scope(redemptions=frozenset({str(path.id)})), lambda w: w.redemption(str(path.id)))

    def validate(self, path: s.ByCode, query: s.Validate) -> dict[str, Any]:
        """Say what a code is good for. Changes nothing."""
        scope = Scope(codes=frozenset({path.code}))
        with_whom = str(query.member) if query.member else None
        said = redeeming.act(
            self.hub,
            scope,
            lambda work: vouchers.validate(
                work,
                path.code,
                member=with_whom,
                order_minor=query.order_minor,
                currency=query.currency or "",
            ),
        )
        of = shown(said.voucher) if said.voucher else None
        return dump(s.Verdict(valid=said.valid, problem=said.problem, off_minor=said.off_minor, voucher=of))

    # --- writing -------------------------------------------------------------------------------------------

    def redeem(self, body: s.Wish) -> dict[str, Any]:
        """Redeem points for a reward, at once or by a hold."""
        key = self._key()
        with self.hub.database.read() as tx:
            who = known(tx, body.member)
        more = body.model_dump(include={"channel", "order", "hold", "reason"})
        done = redeeming.act(
            self.hub,
            Scope(requests=frozenset({(who, body.reward, key)})),
            lambda work: redemptions.request(work, who, body.reward, key=key, actor=actor(), **more),
        )
        if done.state == "refused":
            raise self._why(done)
        return dump(told(done))

    def confirm(self, path: s.ById, body: s.Because) -> dict[str, Any]:
        """Spend what is held, and hand over the reward."""

        def do(work: Rewards) -> Redemption:
            of = work.redemption(str(path.id))
            if of.role and of.state == "held":
                # Which role somebody has is not a token's business: a second token is not a second person.
                raise Problem("approval_needed", f"redemption {of.id} waits for a {of.role}")
            return redemptions.confirm(work, of.id, actor=actor(), reason=body.reason)

        return self._write(path.id, do)

    def release(self, path: s.ById, body: s.Because) -> dict[str, Any]:
        """Let go of what is held."""
        return self._write(
            path.id, lambda w: redemptions.release(w, str(path.id), actor=actor(), reason=body.reason)
        )

    def give_back(self, path: s.ById, body: s.GiveBack) -> dict[str, Any]:
        """Give points of a redemption back."""
        key = self._key()
        more: dict[str, Any] = {"key": key, "actor": actor(), "reason": body.reason}
        return self._write(
            path.id, lambda w: redemptions.give_back(w, str(path.id), body.points, **more), key
        )

    def use(self, path: s.ByCode, body: s.Use) -> dict[str, Any]:
        """Use a voucher."""
        return self._use(vouchers.redeem, path.code, **using(body))

    def roll_back(self, path: s.ByCode, body: s.RollBack) -> dict[str, Any]:
        """Take a use of a voucher back."""
        of_key = in_ledger(body.of_key) if body.of_key else ""
        return self._use(vouchers.roll_back, path.code, of_key=of_key, reason=body.reason)

    def charge(self, path: s.ByCode, body: s.Charge) -> dict[str, Any]:
        """Pay with a gift card."""
        more = using(body) | {"amount_minor": body.amount_minor, "currency": body.currency}
        return self._use(cards.charge, path.code, **more)

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return document(self.app)

    # --- how -----------------------------------------------------------------------------------------------

    def _key(self) -> str:
        """Claim the request's idempotency key, and return it as the ledger knows it.

        Raises:
            Problem: there is none, or it stands for another request.
        """
        key = request.headers.get("Idempotency-Key", "")
        if not key or len(key) > KEY_LENGTH or "\0" in key:
            raise Problem("key_missing", f"the header Idempotency-Key has 1 to {KEY_LENGTH} characters")
        asked = request_hash([request.method, request.path, request.get_json(silent=True)])
        name, now = g.token.name, self.hub.clock()
        with self.hub.database.write() as tx:
            new = {"token": name, "key": key, "request_hash": asked, "at": now}
            tx.execute(insert_new(tx, api_key).values(new).on_conflict_do_nothing())
            mine = (api_key.c.token == name) & (api_key.c.key == key)
            if tx.scalar(sa.select(api_key.c.request_hash).where(mine)) != asked:
                raise Problem("key_reused", f"the key {key} came with another request before")
        return in_ledger(key)

    def _there(self, id_: UUID) -> None:
        with self.hub.database.read() as tx:
            if tx.scalar(sa.select(redemption.c.id).where(redemption.c.id == str(id_))) is None:
                raise Problem("not_found", f"no redemption has the id {id_}")

    def _write(self, id_: UUID, do: Callable[[Rewards], Redemption], key: str = "") -> dict[str, Any]:
        self._there(id_)
        keys = {key or self._key()}
        return self._act(Scope(redemptions=frozenset({str(id_)}), keys=frozenset(keys)), do)

    def _act(self, scope: Scope, do: Callable[[Rewards], Redemption]) -> dict[str, Any]:
        return dump(told(redeeming.act(self.hub, scope, do)))

    def _use(self, do: Callable[..., Voucher], code: str, **more: Any) -> dict[str, Any]:
        with self.hub.database.read() as tx:
            if reading.voucher_of(tx, code) is None:
                raise Problem("not_found", f"no voucher has the code {code}")
        key = self._key()
        scope = Scope(codes=frozenset({code}), keys=frozenset({key}))
        more |= {"key": key, "actor": actor()}
        return dump(shown(redeeming.act(self.hub, scope, lambda work: do(work, code, **more))))

    def _why(self, of: Redemption) -> Problem:
        """Return why a redemption was refused; for want of points, with how many there are."""
        now = self.hub.clock()
        with self.hub.database.read() as tx:
            lots = [x for x in ledger.open_lots(tx, of.member, limit=MOST_LOTS) if x.wallet == of.wallet]
        live = [lot for lot in lots if lot.active and (lot.expires_at is None or lot.expires_at > now)]
        available = sum(lot.active for lot in live)
        if not of.wallet or available >= of.points:
            return Problem("refused", of.reason)
        more: dict[str, Any] = {"available": available, "wanted": of.points}
        if (soonest := min((lot.expires_at for lot in live if lot.expires_at), default=None)) is not None:
            more["expiring"] = sum(lot.active for lot in live if lot.expires_at == soonest)
            more["expires_at"] = soonest.isoformat()
        return Problem("insufficient_points", of.reason, **more)


def plain(view: View) -> View:
    """Return a method as a function: the library notes things on it, which a bound method does not take."""

    @wraps(view)
    def called(**asked: Any) -> Any:
        return view(**asked)

    return called


def document(app: OpenAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the idempotency key of every write."""
    made: dict[str, Any] = app.api_doc
    for operations in made["paths"].values():
        if (post := operations.get("post")) is not None:
            there = [each for each in post.get("parameters", []) if each["in"] != "header"]
            post["parameters"] = [*there, KEY_PARAMETER]
    return made


KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A new one for each thing to do; the same one to try it again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[!-~]+$"},
}


def known(tx: sa.Connection, id_: UUID) -> str:
    """Return who has the points of a member: after a merge, whom they became.

    Raises:
        Problem: there is none, or they were erased.
    """
    who: str | None = str(id_)
    for _ in range(100):
        row = tx.execute(
            sa.select(member.c.state, member.c.merged_into).where(member.c.id == who)
        ).one_or_none()
        if row is None or row.state == "erased":
            raise Problem("not_found", f"no member has the id {id_}")
        if row.merged_into is None:
            break
        who = row.merged_into
    assert who is not None
    return str(who)


def actor() -> str:
    """Return who does it: the token."""
    return f"api:{g.token.name}"


def in_ledger(key: str) -> str:
    """Return what a caller's key is called in the ledger."""
    return f"api:{g.token.name}:{key}"


def using(body: s.Use) -> dict[str, Any]:
    """Return what the voucher functions want to know of a use."""
    who = str(body.member) if body.member else None
    return {"channel": body.channel, "order": body.order, "member": who}


def dump(model: BaseModel) -> dict[str, Any]:
    """Return an answer as JSON has it."""
    return model.model_dump(mode="json")


def offers(found: list[catalogue.Offer]) -> dict[str, Any]:
    """Return offers as an answer."""
    return dump(s.Offers(items=[s.Offer.model_validate(each, from_attributes=True) for each in found]))


def shown(of: Voucher) -> s.Voucher:
    """Return a voucher as an answer."""
    return s.Voucher.model_validate(of, from_attributes=True)


def told(of: Redemption) -> s.Redemption:
    """Return a redemption as an answer."""
    return s.Redemption.model_validate(of, from_attributes=True)


def refused(error: HubError) -> Response:
    """Return what a refusal is on the wire."""
    if isinstance(error, Problem):
        return respond(error.kind, str(error), **error.more)
    if isinstance(error, KeyReused):
        return respond("key_reused", str(error))
    if isinstance(error, InsufficientPoints):
        return respond("insufficient_points", str(error), available=error.available, wanted=error.wanted)
    return respond("refused", str(error))


def http_refused(error: HTTPException) -> Response:
    """Return Flask's own refusals as problems."""
    kind = BY_STATUS.get(error.code or 500)
    if kind is None:
        return respond("failed", error.name)
    answer = respond(kind, error.description or error.name)
    answer.headers.extend([(k, v) for k, v in error.get_headers() if k == "Allow"])
    return answer


def failed(error: Exception) -> Response:
    """Return that it is our fault, and log it."""
    log.error("an API request failed", action="api_error", path=request.path, exc_info=error)
    return respond("failed", "the hub could not do this")
