"""Consents, merge proposals, erasures, and what they need of identities, contacts and deliveries."""

import sqlalchemy as sa
from alembic import op

from hub.members.normal import normal
from hub.storage import tables
from hub.storage.triggers import evidence_only

revision = "0006"
down_revision = "0005"

ROWS = 1000


def upgrade() -> None:
    _identities()
    _contacts()
    _consents()
    _proposals()
    _erasures()
    op.add_column(
        "outbox",
        sa.Column(
            "purpose", sa.Text(), nullable=True, comment="what the member has to agree to; null: nothing"
        ),
    )
    op.add_column("outbox", sa.Column("channel", sa.Text(), nullable=True, comment="on which channel"))


def _identities() -> None:
    _partial("member_merged", "member", ["merged_into"], "merged_into is not null")
    op.add_column(
        "identity",
        sa.Column(
            "origin",
            tables.Id,
            nullable=True,
            comment="whose evidence it is, where a merge brought it to another member",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("identity", "created_at", comment="since when it means this member")
    op.create_table(
        "identity_past",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("member", tables.Id, nullable=False, comment="whom it meant"),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("since", tables.Instant(), nullable=False),
        sa.Column("until", tables.Instant(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, comment="what ended it: the key of a merge or unmerge"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("identity_past_member", "identity_past", ["member"])


def _contacts() -> None:
    op.add_column(
        "contact",
        sa.Column(
            "normal",
            sa.Text(),
            nullable=True,
            comment="as it is compared; null once its member is merged into another",
        ),
    )
    contact, here = tables.contact, op.get_bind()
    key = (contact.c.member, contact.c.kind)
    after = (tables.PROGRAMME, "")
    while rows := here.execute(
        sa.select(*key, contact.c.value)
        .where(sa.tuple_(*key) > sa.tuple_(sa.bindparam(None, after[0], type_=tables.Id), after[1]))
        .order_by(*key)
        .limit(ROWS)
    ).all():
        here.execute(
            contact.update()
            .where(contact.c.member == sa.bindparam("m"), contact.c.kind == sa.bindparam("k"))
            .values(normal=sa.bindparam("n")),
            [{"m": row.member, "k": row.kind, "n": normal(row.kind, row.value)} for row in rows],
        )
        after = (rows[-1].member, rows[-1].kind)
    op.drop_index("contact_value", "contact")
    op.create_index("contact_normal", "contact", ["kind", "normal", "member"])


def _consents() -> None:
    op.create_table(
        "consent",
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column(
            "at", tables.Instant(), nullable=False, comment="when the person said so, by the source's clock"
        ),
        sa.PrimaryKeyConstraint("member", "purpose", "channel"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "consent_change",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("member", tables.Id, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("at", tables.Instant(), nullable=False, comment="theirs"),
        sa.Column("recorded_at", tables.Instant(), nullable=False, comment="ours"),
        sa.Column("source", sa.Text(), nullable=False, comment="a connection's name, or who wrote it down"),
        sa.Column("event", tables.Id, nullable=True, comment="the evidence"),
        sa.Column(
            "why", sa.Text(), server_default="", nullable=False, comment="the key of a merge or unmerge"
        ),
        sa.Column(
            "evidence",
            sa.Text(),
            nullable=True,
            comment="in words; may be emptied, nothing else may be edited",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("consent_change_member", "consent_change", ["member", "id"])
    for statement in evidence_only(op.get_bind().dialect.name, tables.consent_change, "evidence"):
        op.execute(statement)


def _proposals() -> None:
    op.create_table(
        "proposal",
        sa.Column("id", tables.Id, nullable=False, comment="made of both members' ids"),
        sa.Column("member", tables.Id, nullable=False, comment="the one who came first"),
        sa.Column("other", tables.Id, nullable=False),
        sa.Column("evidence", tables.Json, nullable=False, comment="list of [kind, value as it is compared]"),
        sa.Column("score", sa.Integer(), nullable=False, comment="1 to 100"),
        sa.Column("state", sa.Text(), nullable=False, comment="open, accepted, rejected"),
        sa.Column("created_at", tables.Instant(), nullable=False, comment="when it was last proposed"),
        sa.Column("decided_at", tables.Instant(), nullable=True),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("proposal_member", "proposal", ["member"])
    op.create_index("proposal_other", "proposal", ["other"])
    _partial("proposal_open", "proposal", ["created_at", "id"], "state = 'open'")


def _erasures() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column(
            "member",
            tables.Id,
            nullable=True,
            comment="null: nobody is known here by what the platform named",
        ),
        sa.Column("requested_at", tables.Instant(), nullable=False),
        sa.Column("due_at", tables.Instant(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="a connection's name, or who asked"),
        sa.Column("event", tables.Id, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "needles",
            tables.Json,
            nullable=True,
            comment="what the person is still looked for by; null once done",
        ),
        sa.Column("done_at", tables.Instant(), nullable=True),
        sa.Column("counts", tables.Json, nullable=True, comment="table -> rows erased"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("erasure_member", "erasure", ["member"])
    _partial("erasure_open", "erasure", ["due_at"], "state in ('waiting', 'running')")
    op.create_table(
        "erased",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="HMAC of a source and value"),
        sa.Column("at", tables.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pepper",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "scrub",
        sa.Column("inbox_id", tables.Big, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("inbox_id"),
    )


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
