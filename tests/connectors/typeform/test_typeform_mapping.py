"""The shipped mapping of Typeform: each sample body, and the canonical event it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.typeform import Typeform
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import Form, MemberRef, SurveySubmitted
from hub.sdk.samples import samples_of

FORMS = Typeform.with_settings()
MAPPING = load(Path(__file__).parents[3] / "mappings/typeform.yaml", Typeform)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(FORMS)}
TASTING = {"id": "D4e5F6", "title": "How was your tasting?"}

EXPECTED = {
    "form_response": SurveySubmitted(
        fact="typeform:response/D4e5F6/9f1b3c5d7e9f1b3c5d7e9f1b3c5d7e9f",
        occurred_at=datetime(2026, 11, 20, 9, 12, 30, tzinfo=UTC),
        member=MemberRef(email="ida@example.com"),  # typed, and stronger than the link's
        survey=Form(
            **TASTING,
            score=9,
            answers={
                "nps_score": 9,
                "tasted": ["Yirgacheffe", "Sidamo", "Ca phê"],
                "favourite": "Yirgacheffe",
                "email": "ida@example.com",
            },
        ),
    ),
    "form_response~old": SurveySubmitted(
        fact="typeform:response/D4e5F6/0c2e4a6c8e0c2e4a6c8e0c2e4a6c8e0c",
        occurred_at=datetime(2026, 11, 20, 10, 0, tzinfo=UTC),
        member=MemberRef(phone="+4530123456"),
        survey=Form(
            **TASTING, score=4, answers={"Q9aaaaaaaaaa": False, "nps_score": 7, "phone": "+4530123456"}
        ),
    ),
    "form_response~hidden": SurveySubmitted(
        fact="typeform:response/D4e5F6/1d3f5b7d9f1d3f5b7d9f1d3f5b7d9f1d",
        occurred_at=datetime(2026, 11, 20, 9, 12, 30, tzinfo=UTC),
        member=MemberRef(email="somebody@example.net"),
        survey=Form(**TASTING, answers={"nps_score": 9}),
    ),
}


def mapped(body: bytes):
    """Return the canonical event of a body, or the kind of its being ignored."""
    (event,) = FORMS.parse(Webhook("POST", "", Headers(), body, NOW))
    result = MAPPING.apply(event, connection="surveys")
    if isinstance(result, Ignored):
        return result.kind
    (canonical,) = result
    return canonical


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C29
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Typeform.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Typeform.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


def test_a_response_that_was_left_half_way_is_ignored():
    half = SAMPLES["form_response"].body.replace(b'"form_response",', b'"form_response_partial",', 1)
    assert mapped(half) == "rule"


VENDOR = {
    "form_response_calculated_null.json": ("lT4Z3j", None, MemberRef()),
    "form_response_csat_handauthored.json": ("D4e5F6", 9, MemberRef()),  # hidden.user_id counts for nothing
    "form_response_full.json": ("lT4Z3j", 9, MemberRef(email="laura@example.com")),
    "form_response_hidden_fields.json": ("fbnRZu", None, MemberRef(email="jane.doe@example.com")),
    "form_response_score.json": ("fbnRZu", 42, MemberRef()),
    "signed_body.json": ("fbnRZu", 42, MemberRef()),
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/typeform" / name).read_bytes())
    assert (result.survey.id, result.survey.score, result.member) == VENDOR[name]
    assert result.survey.answers
