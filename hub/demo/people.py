"""Who appears in the morning, and by what each platform knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PEOPLE: Mapping[str, Mapping[str, str]] = {
    # As the hub names them -> their address, and connection -> the platform's own id.
    "Marta Lindqvist": {"email": "marta@example.com", "shop": "7340188266789"},
    "Noor Haddad": {"email": "noor@example.com"},
    "Pia Holm": {"email": "pia@example.com", "shop": "7340188266801"},
    "Anna Berger": {"email": "anna@example.com", "till": "CBREWANNA0001"},
    "Ben": {"email": "ben@example.org"},  # no account in the till's own loyalty
    "Jonas Weber": {"email": "jonas@example.net", "payments": "cus_TBrewlineJonas1"},
    "Max Brandt": {"email": "max@example.org", "wholesale": "57"},
    "Ida Sorensen": {"email": "ida@example.com", "store": "0a91bc10-0aa1-11f0-e4a5-1d2c3b4a5f60"},
    "Jana Linde": {"email": "jana@linde.example.com", "crm": "50900123456"},
    "omar@hotel.example.com": {"email": "omar@hotel.example.com", "sales": "003Bw000003OmarIAC"},
    "Lena Roth": {"email": "lena@roth.example.com", "partners": "4876876000001400712"},
    "Paul Meyer": {"email": "paul@example.com", "service": "5b9f2a10-7c3d-ee11-bdf4-0022489b0070"},
    "Café Linde": {"email": "einkauf@linde.example.com", "books": "58"},
    "sam@example.org": {"email": "sam@example.org", "academy": "seat-311"},
    "Yuki Tanaka": {"email": "yuki@example.com", "campaigns": "318"},
    "Tom Berg": {"email": "tom@example.com", "messenger": "671e0a2c9f3b4d5e6a7b8c9d"},
    "tilda@example.org": {"email": "tilda@example.org"},
    "hugo@example.com": {"email": "hugo@example.com", "marketing": "01KBREWLINE0HUGO000000000A"},
    "Elif Demir": {"email": "elif@example.com", "helpdesk": "387705374"},
    "Ravi Nair": {"email": "ravi@example.com", "support": "8447388090495"},
    "Zoe King": {"email": "zoe@example.com", "tickets": "88001"},
}
"""Nobody has two: the hub would not take them for one on the word of a platform that does not vouch."""


def known(connection: str) -> Iterator[tuple[str, str]]:
    """Yield (its own id, address) of those a platform knows."""
    return ((ids[connection], ids["email"]) for ids in PEOPLE.values() if connection in ids)


def everybody(connection: str) -> Iterator[tuple[str, str]]:
    """Yield (its own id, or one that is made up; address) of all, for a platform that knows everybody."""
    return (
        (ids.get(connection, f"90000{number:02}"), ids["email"]) for number, ids in enumerate(PEOPLE.values())
    )


def named(connection: str, key: str) -> str:
    """Return who has this id or address at a platform; itself where nobody has."""
    return next((name for name, ids in PEOPLE.items() if key in {ids.get(connection), ids["email"]}), key)
