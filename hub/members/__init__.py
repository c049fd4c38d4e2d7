"""Identify: who an event is about.

A member is found by what proves who somebody is (a platform's own customer id, an address the platform
vouches for), never by a name or an address somebody typed. Who cannot be found yet leaves a hint, and the
event is claimed when the proof arrives.
"""

from hub.members.directory import Directory, normal_email, normal_phone
from hub.members.reading import Person, find, person

__all__ = ["Directory", "Person", "find", "normal_email", "normal_phone", "person"]
