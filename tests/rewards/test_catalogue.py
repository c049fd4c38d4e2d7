"""What a member can have, the most likely first."""

from __future__ import annotations

from hub.rewards import catalogue


def ids(offers):
    return [offer.reward for offer in offers]


def find(offers, reward):
    return next(offer for offer in offers if offer.reward == reward)


def test_exactly_what_can_be_had_is_affordable(counter):  # C2, B57
    counter.member = counter.enrol(400)
    about = {"id": counter.member, "tier": ""}
    with counter.hub.database.read() as tx:
        found = catalogue.affordable(tx, counter.hub.programs.current, about, counter.now)
    # 400 points: five_off and tasting, treat, coffee, sticker and the free tenth; no mug, no card, nothing for gold.
    assert ids(found) == ["five_off", "tasting", "treat", "coffee", "sticker", "tenth"]
    for offer in found:
        pick = f"/{offer.options[0]}" if offer.options else ""
        assert counter.ask(offer.reward + pick, by=counter.enrol(400)).state in ("fulfilled", "confirmed")


def test_what_is_in_the_way_is_told(counter):
    counter.member = counter.enrol(700)
    for _ in range(2):
        counter.ask("sticker", by=counter.enrol(50))
    offers = counter.offers()
    assert (find(offers, "mug").missing, find(offers, "mug").left) == (100, 3)
    assert (find(offers, "sticker").problem, find(offers, "sticker").left) == ("sticker is out of stock", 0)
    assert find(offers, "gold_only").problem == "gold only is not for this member"
    assert find(offers, "advent").problem.startswith("advent is not there before")
    assert find(offers, "treat").options == ["coffee", "mug"]
    assert find(offers, "coffee").left is None


def test_had_once_is_had(counter):
    counter.ask("mug")
    offer = find(counter.offers(), "mug")
    assert (offer.problem, offer.left, offer.affordable) == ("mug is for each member once only", 2, False)
    assert find(counter.offers(), "treat").options == ["coffee", "sticker"]


def test_two_members_see_two_orders_of_one_catalogue(counter):  # B10, B51
    drinker = counter.offers(favourite_category="drinks")
    collector = counter.offers(favourite_category="things")
    assert ids(drinker)[0] == "coffee"
    assert ids(collector)[:2] == ["mug", "sticker"]
    assert sorted(ids(drinker)) == sorted(ids(collector))


def test_what_was_chosen_before_comes_first(counter):
    before = ids(counter.offers())
    assert before[0] == "card25"  # the dearest they can have
    for _ in range(2):
        counter.ask("coffee")
    counter.ask("sticker")
    assert ids(counter.offers())[:3] == ["coffee", "mug", "sticker"]


def test_gold_members_see_what_is_for_them(counter):
    assert find(counter.offers(tier="gold"), "gold_only").affordable
    counter.later(days=3)  # 24 November: seven days before 1 December for gold
    assert find(counter.offers(tier="gold"), "advent").affordable
    assert not find(counter.offers(), "advent").affordable


def test_what_is_for_another_country_or_in_another_currency_is_left_out(open_counter):
    from counter import PROGRAM

    counter = open_counter(
        PROGRAM.replace("id: coffee,", "id: coffee, countries: [DE, AT],").replace(
            "id: card25,", "id: card25, supplier: Roasters United,"
        )
    )
    about = {"id": counter.member}
    with counter.hub.database.read() as tx:
        program = counter.hub.programs.current
        abroad = catalogue.offers(tx, program, about, counter.now, country="FR", currency="SEK")
        here = catalogue.offers(tx, program, about, counter.now, country="DE", currency="EUR")
    assert {"coffee", "card25", "five_off"}.isdisjoint(ids(abroad))
    assert {"coffee", "card25", "five_off"} <= set(ids(here))
    assert find(here, "card25").supplier == "Roasters United"


def test_an_empty_catalogue_offers_nothing(open_counter):
    from counter import PROGRAM

    counter = open_counter(PROGRAM.partition("rewards:")[0])
    assert counter.offers() == []
    assert counter.ask("coffee").reason == "no reward is named 'coffee'"
