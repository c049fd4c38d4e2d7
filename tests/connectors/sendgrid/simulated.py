"""SendGrid: a mail from a dynamic template."""

from dataclasses import replace

from connectors.sendgrid import SendGrid, SendMail
from hub.sdk.testing import KEY
from tests.simulated import Play

TEMPLATE = "d-6b1f0c2d9e8a4b7c8d1e2f3a4b5c6d7e"


def mails(platform):
    return [
        (person["to"], person["dynamic_template_data"], person["custom_args"], mail["template_id"])
        for mail in platform.records["mails"].values()
        for person in mail["personalizations"]
    ]


MAIL = Play(
    SendGrid,
    "send_mail",
    SendMail(to="ida@example.com", name="Ida", template=TEMPLATE, data={"points": 50}),
    shows=mails,
    wanted=[
        (
            [{"email": "ida@example.com", "name": "Ida"}],
            {"points": 50},
            {"hub_delivery": KEY, "hub_template": TEMPLATE},
            TEMPLATE,
        )
    ],
    doubles="SendGrid takes no idempotency key; events tell the delivery's",
)
PLAYS = [
    MAIL,
    replace(
        MAIL,
        settings=lambda _: {"from_name": "Brewline", "asm_group": 12, "categories": ["loyalty", "beans"]},
    ),
]
