"""The morning away from the counter: the CRMs and the books, the chat, mails and texts, forms, and those who help."""

from __future__ import annotations

from typing import Any

from hub.demo.step import Step, dataverse_time, iso, naive, slack_time, unix, unix_ms

_REVIEW = "data.0.payload.data"


def _requester(key: str, name: str, email: str, **values: Any) -> dict[str, Any]:
    """Return who a ticket is of, as Zendesk's and Freshdesk's templates write it."""
    return {
        "requester_id": key,
        "requester_name": name,
        "requester_email": email,
        "requester_phone": "",
        **values,
    }


STEPS = (
    Step(
        "09:40",
        "crm",
        "contact.creation",
        "Jana of Café Linde becomes a contact: the webhook names her only",
        "her record is read; 50 beans of welcome",
        {"0.occurredAt": unix_ms},
    ),
    Step(
        "09:45",
        "crm",
        "deal.propertyChange",
        "Jana's deal over 1,875.00 is won: it is named only, too",
        "the deal is read; 1,500 beans, the most one gives",
        {"0.occurredAt": unix_ms},
    ),
    Step(
        "09:46",
        "crm",
        "contact.propertyChange~batch",
        "two properties of Jana changed, one of them by the hub itself",
        "one is noted, the echo is ignored",
        {"0.occurredAt": unix_ms, "1.occurredAt": unix_ms},
    ),
    Step(
        "09:48",
        "sales",
        "Opportunity",
        "a hotel's order over 900.00 is won",
        "900 beans for Omar",
        {
            "ContactId": "003Bw000003OmarIAC",
            "Contact_Email__c": "omar@hotel.example.com",
            "Amount": "900.0",
            "LastModifiedDate": iso,
        },
    ),
    Step(
        "09:50",
        "partners",
        "Deals.update",
        "Lena's deal over 640.00 is won: it is named only",
        "deal and contact are read; 640 beans",
        {"server_time": unix_ms},
    ),
    Step(
        "09:52",
        "service",
        "msdyn_workorder.update",
        "Paul's grinder is repaired: the work order is completed",
        "20 beans",
        {
            "OperationCreatedOn": dataverse_time,
            "PostEntityImages.0.value.Attributes.4.value.Id": "5b9f2a10-7c3d-ee11-bdf4-0022489b0070",
            "PostEntityImages.0.value.Attributes.4.value.Name": "Paul Meyer",
        },
    ),
    Step(
        "10:00",
        "books",
        "payment.created",
        "Café Linde pays two invoices, 239.50 in all",
        "a token is fetched, three records are read; 239 beans",
        {"0.time": iso},
    ),
    Step(
        "09:32",
        "audience",
        "subscribe",
        "Pia subscribes to the newsletter",
        "10 beans, and she may be written to: a mail tells her",
        {"fired_at": naive, "data[email]": "pia@example.com", "data[merges][EMAIL]": "pia@example.com"},
    ),
    Step(
        "09:33",
        "texts",
        "inbound.redeem",
        "Noor texts: REDEEM espresso",
        "40 beans are spent, and a text message tells the code",
        {"From": "+4915550107070", "Body": "REDEEM espresso"},
    ),
    Step(
        "10:05",
        "chat",
        "slash_command",
        "Ines asks in the chat: /points jana@linde.example.com",
        "the chat is told that it arrived; noted",
    ),
    Step(
        "10:06",
        "chat",
        "block_actions",
        "Ines presses Approve under a message of last year's hub",
        "no such approval is known here, so nothing happens",
        {"payload.actions.0.action_ts": slack_time, "payload.response_url": ""},
    ),
    Step(
        "10:22",
        "campaigns",
        "contact_tag_added",
        "Yuki is tagged as an early guest",
        "15 beans",
        {
            "date_time": iso,
            "contact[email]": "yuki@example.com",
            "contact[first_name]": "Yuki",
            "contact[last_name]": "Tanaka",
            "contact[phone]": "",
        },
    ),
    Step(
        "10:24",
        "messenger",
        "contact.user.created",
        "Tom opens an account",
        "50 beans of welcome",
        {
            "created_at": unix,
            "data.item.email": "tom@example.com",
            "data.item.name": "Tom Berg",
            "data.item.phone": "",
            "data.item.signed_up_at": iso,
        },
    ),
    Step(
        "10:25",
        "messenger",
        "conversation.user.created",
        'Tom asks: "Points?"',
        "he is answered: 50",
        {"created_at": unix, "data.item.source.author.email": "tom@example.com"},
    ),
    Step(
        "10:27",
        "tastings",
        "form_submitted",
        "Noor says which coffee she liked best",
        "10 beans",
        {"created": iso, "fields.Name": "Noor", "fields.Email": "noor@example.com", "fields.Phone": ""},
    ),
    Step(
        "10:28",
        "survey",
        "form_response",
        "Pia gives the tasting a 9",
        "15 beans, and a mail tells her",
        {"form_response.submitted_at": iso, "form_response.answers.3.email": "pia@example.com"},
    ),
    Step(
        "10:30",
        "marketing",
        "submitted_review",
        "Hugo reviews a blend: the profile is named only",
        "his profile is read; 15 beans",
        {
            f"{_REVIEW}.attributes.timestamp": unix,
            f"{_REVIEW}.attributes.datetime": iso,
            f"{_REVIEW}.relationships.profile.data.id": "01KBREWLINE0HUGO000000000A",
        },
    ),
    Step(
        "10:31",
        "mail",
        "unsubscribe",
        "Noor wants no mails",
        "noted: no bean is lost by it",
        {"0.email": "noor@example.com", "0.timestamp": unix},
    ),
    Step(
        "10:33",
        "helpdesk",
        "ticket-status-updated",
        "Elif's parcel is found: her ticket is closed",
        "5 beans, and a note on the ticket",
        {"ticket_updated": iso, "customer_email": "elif@example.com", "customer_name": "Elif Demir"},
    ),
    Step(
        "10:34",
        "support",
        "ticket_solved",
        "Ravi's grinder runs again: solved",
        "5 beans, and a note on the ticket",
        _requester("8447388090495", "Ravi Nair", "ravi@example.com", updated_at=iso),
    ),
    Step(
        "10:35",
        "tickets",
        "ticket_resolved",
        "Zoe gets another cup: resolved",
        "5 beans, and a note on the ticket",
        _requester("88001", "Zoe King", "zoe@example.com"),
    ),
)
