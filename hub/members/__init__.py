"""Identify: who an event is about.

A member is found by what proves who somebody is (a platform's own customer id, an address the platform
vouches for), never by a name or an address somebody typed. Who cannot be found yet leaves a hint, and the
event is claimed when the proof arrives. What members bought is `Activity`: the facts that rules read of them.
"""

from hub.members.activity import Activity, Purchase
from hub.members.directory import Directory, normal_email, normal_phone
from hub.members.reading import Person, find, person

__all__ = ["Activity", "Directory", "Person", "Purchase", "find", "normal_email", "normal_phone", "person"]
