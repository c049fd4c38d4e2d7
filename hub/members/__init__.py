"""Identify: who an event is about.

A member is found by what proves who somebody is (a platform's own customer id, an address the platform
vouches for), never by a name or an address somebody typed. Who cannot be found yet leaves a hint, and the
event is claimed when the proof arrives. What members bought is `Activity`: the facts that
rules read of them. Who may be one person is proposed to a person.

    consents      what somebody allows, for each purpose and channel
    merging       two members become one, and apart again
    proposals     two members that may be one person
    erased        by what erased people are recognised
"""

from hub.members.activity import Activity, Purchase
from hub.members.consents import consents
from hub.members.directory import Directory
from hub.members.normal import normal_email, normal_name, normal_phone
from hub.members.reading import Person, find, person

__all__ = [
    "Activity",
    "Directory",
    "Person",
    "Purchase",
    "consents",
    "find",
    "normal_email",
    "normal_name",
    "normal_phone",
    "person",
]
