"""A morning at Brewline, a coffee roaster that does not exist: what its platforms report, in order."""

from hub.demo import office, shops

MORNING = tuple(sorted((*shops.STEPS, *office.STEPS), key=lambda step: step.came or step.at))
