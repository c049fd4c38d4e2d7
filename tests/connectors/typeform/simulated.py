"""Typeform: there is nothing to write to; what is read is in test_typeform_simulated.py."""

from tests.simulated import Play

PLAYS: list[Play] = []
