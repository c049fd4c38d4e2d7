"""What the morning must come to, worked out by hand from the sample bodies. The demo fails where a figure differs."""

from __future__ import annotations

ARRIVED = {
    # accepted, sent again, refused
    "shop": (4, 1, 0),
    "payments": (3, 0, 1),
    "till": (9, 0, 0),
    "app": (3, 0, 1),
    "crm": (3, 0, 0),
    "books": (1, 0, 0),
    "chat": (2, 0, 0),
    "academy": (2, 0, 0),
}
REFUSED = {("payments", "bad_signature"): 1, ("app", "too_large"): 1}

# 27 webhooks were accepted; the batch of the CRM holds two events: 28.
BECAME = {
    # shop 4 (account, order, guest order, refund), payments 1 (Jonas), till 5 (Anna's account, sale, refund and
    # card payment, Ben's payment), app 2 (review, Noor), crm 2 (contact, deal), books 1, academy 1
    "posted": 16,
    "told before": 3,  # payments: the payment of #1042; till: the card payment, twice more
    "noted": 5,  # till: Ben's profile; app: Marta again; crm: a property; chat: a command and a button
    "ignored": 3,  # till: only authorised; crm: our own echo; payments: a payout
    "parked": 1,  # academy: an order of nobody
    "waiting": 0,  # the refund's sale has come
    "unassigned": 0,  # the guest has been found
}

MEMBERS = {
    # Pending and active.
    # Subtotal 63.52 holds 2.52 of VAT: 61.00 net, 61 beans. The refund of 19.26 holds 1.26 of VAT: 18.00 net,
    # 43.00 are left, 43 beans. 50 of welcome and 25 for the review are active at once.
    "Marta Lindqvist": (61 - 18, 50 + 25),
    # 34.00 net, claimed by the verified address; 50 of welcome.
    "Noor Haddad": (34, 50),
    # In cash 14.80: 14 beans; 4.80 went back, 10.00 are left: 10 beans. By card 32.50 without the tip of 3.00: 32.
    "Anna Berger": (14 - 4 + 32, 50),
    "Ben": (9, 0),  # 9.90; a changed profile earns no welcome
    # 47.70 paid, of it 3.12 tax, and shipping of 4.90 that holds 0.32 of that tax: 47.70 - 3.12 - 4.58 = 40.00
    "Jonas Weber": (40, 0),
    "Jana Linde": (0, 50 + 1500),  # welcome; 1,875.00 would be 1,875, a deal gives 1,500 at most
    # 119.00 + 120.50 of the 260.00 received are applied to invoices: 239.50. The CRM's Jana and the books' Café
    # Linde stay two: nobody vouches for either's address.
    "Café Linde": (239, 0),
    "sam@example.org": (0, 100),
}

DELIVERIES = {
    # connection: (rows, dead). Each posting tells the app and, by e-mail address, the CRM; the others hear of
    # whom they know. A row that a newer one overtook counts as replaced, which is as good as delivered.
    "shop": (4, 0),  # Marta: +50, +61, +25, -18
    "payments": (1, 0),  # Jonas
    "till": (5, 1),  # Anna: +50, +14, -4, +32. Ben has no account there: a dead letter
    "app": (16, 0),
    "crm": (16, 0),
    "books": (1, 0),  # Café Linde
    "chat": (1, 0),  # of 500 beans and more: the deal
    "academy": (1, 0),  # Sam
}

SHOWN = {
    # (connection, its own id): points. Balances are what is active; the till is told changes, pending ones too.
    ("shop", "7340188266789"): 75,
    ("payments", "cus_TBrewlineJonas1"): 0,
    ("till", "loyalty-anna"): 50 + 14 - 4 + 32,
    ("crm", "marta@example.com"): 75,
    ("crm", "noor@example.com"): 50,
    ("crm", "anna@example.com"): 50,
    ("crm", "ben@example.org"): 0,
    ("crm", "jonas@example.net"): 0,
    ("crm", "50900123456"): 1550,
    ("crm", "einkauf@linde.example.com"): 0,
    ("crm", "sam@example.org"): 100,
    ("books", "58"): 0,
    ("academy", "seat-311"): 100,
}

READS = {
    "find a loyalty account": 5,  # before each adjustment
    "read a contact": 2,  # Jana, when she is new and for her deal
    "read a deal": 1,
    "renew the OAuth token": 1,
    "read a record": 4,  # the payment and its two invoices; the customer whose notes are written
}
"""Calls that change nothing at the platform."""

AGAIN = {"tell a balance": 1}
"""Calls that came twice, by the same idempotency key: the academy was down for the first."""
