"""What is asked and answered. Points are integers, amounts integer minor units, times UTC as RFC 3339 has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NO_NUL = r"^[^\u0000]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Maybe = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Points = Annotated[int, Field(ge=1, le=10**12)]
Minor = Annotated[int, Field(ge=1, le=10**12, description="minor units: cents")]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
MAX_PAGE = 200
SEQ_MAX = 2**31 - 1


class Asked(BaseModel):
    """A body: a field that is not known is a typo, and said to be one."""

    model_config = ConfigDict(extra="forbid")


class ById(BaseModel):
    id: UUID


class ByCode(BaseModel):
    code: Text = Field(description="however it is typed")


class Lookup(BaseModel):
    identity: Text = Field(description="connection:external id, an e-mail address or a phone number")


class Page(BaseModel):
    after: int | None = Field(None, ge=1, le=SEQ_MAX, description="as `next` of the page before has it")
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class Validate(BaseModel):
    member: UUID | None = None
    order_minor: int | None = Field(None, ge=0, le=10**12, description="what the order costs")
    currency: Currency | None = Field(None, description="of the order")


class Wish(Asked):
    member: UUID
    reward: Text = Field(description="an id of the catalogue; pick/coffee is the option coffee of a choice")
    hold: bool = Field(False, description="reserve only: confirm it before the deadline")
    channel: Text = Field("api", description="where it is asked for: web, app, staff, sms, api, pos")
    order: Maybe = Field("", description="fact key of the order it belongs to: shop:order/5551")
    reason: Maybe = ""


class Because(Asked):
    reason: Maybe = ""


class GiveBack(Because):
    points: Points | None = Field(None, description="null: all that are left")


class Use(Asked):
    channel: Text = "api"
    member: UUID | None = Field(None, description="who uses it; needed where it is bound to its member")
    order: Maybe = ""


class RollBack(Because):
    of_key: Maybe = Field("", description="the Idempotency-Key of the use; empty: the last one")


class Charge(Use):
    amount_minor: Minor
    currency: Currency


class Ref(BaseModel):
    id: str
    url: str


class Refs(BaseModel):
    items: list[Ref] = Field(description="proven ones first; several when an address may be several people's")


class Identity(BaseModel):
    source: str = Field(description="connection, email or phone")
    value: str


class Member(BaseModel):
    id: str
    state: str = Field(description="active, merged or erased")
    merged_into: str | None
    tier: str
    created_at: datetime
    identities: list[Identity]
    contacts: dict[str, str]


class Expiring(BaseModel):
    points: int
    expires_at: datetime


class Wallet(BaseModel):
    wallet: str
    active: int = Field(description="can be spent now")
    pending: int
    held: int
    debt: int = Field(description="zero or less")
    expiring: list[Expiring] = Field(description="of the active ones, soonest first")


class Balance(BaseModel):
    member: str
    wallets: list[Wallet]


class Posting(BaseModel):
    id: str
    seq: int
    kind: str
    occurred_at: datetime
    posted_at: datetime
    points: dict[str, int] = Field(description="the change of what the member owns, by wallet")
    reason: str
    actor: str


class History(BaseModel):
    items: list[Posting]
    next: str | None = Field(description="address of the next page; null: this was the last one")


class Offer(BaseModel):
    reward: str
    name: str
    kind: str
    category: str
    value: str
    supplier: str
    countries: list[str]
    wallet: str
    cost: int
    options: list[str]
    left: int | None = Field(description="null: no stock is kept")


class Offers(BaseModel):
    items: list[Offer]


class Voucher(BaseModel):
    code: str
    reward: str
    kind: str
    value: str
    state: str
    expires_at: datetime | None
    currency: str = Field(description="of gift cards")
    balance_minor: int = Field(description="of gift cards, in minor units")


class Redemption(BaseModel):
    id: str
    member: str
    reward: str
    item: str = Field(description="what is handed over: of a choice the option")
    state: str
    wallet: str
    points: int
    returned: int
    channel: str
    actor: str
    reason: str
    deadline: datetime | None
    vouchers: list[Voucher]


class Verdict(BaseModel):
    valid: bool
    problem: str
    off_minor: int | None = Field(description="what it takes off the order, in minor units")
    voucher: Voucher | None
