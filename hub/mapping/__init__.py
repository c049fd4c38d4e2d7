"""Mapping files: what a platform's events mean, in YAML that an admin can change without a release.

Pure: values in, values out; no database and no clock. One file is loaded and checked whole, then applied to
many events from any thread.

    mapping = load(Path("mappings/shopify.yaml"), Shopify)      # ConfigError carries every problem, file:line:column
    mapping.version                                             # SHA-256 of the file's bytes, hex
    mapping.warnings                                            # Problems that do not stop it (unknown event types)

Inbound, one source event to canonical events (`hub.sdk.events`):

    match mapping.apply(event, connection="shop"):              # MappingError: file, line, field, value seen
        case Ignored(kind, reason): ...                         # kind: "unknown", "rule" or "condition"
        case events: ...                                        # list[Event], one for each rule that holds

Outbound, a ledger or canonical event to the parameters of a connector's action:

    for rule in mapping.outbound("points.changed"):
        params = rule.params(variables)                         # dict of JSON values; None: its `if` does not hold
        if params is not None:
            send(rule.action, params)                           # they fit Connector.actions[rule.action].params

`variables` has `member` {id, id_here, ids, email, phone, name, locale, balance, pending, tier, consents}, `points` (int),
`posting` {id, kind, key}, `event` (the canonical event as plain values with `name`, or {}) and `connection` {name}.

For people:

    explain(mapping, event, connection="shop")                  # every rule and field: expression, line, value or error
    diff(old, new, events, connection="shop")                   # what a changed file would make of the same events

A running hub keeps its files in a store, which swaps in a changed file only when all of it is sound:

    store = MappingStore({Path("mappings/shopify.yaml"): Shopify})
    store.reload_if_changed()                                   # paths that changed; cheap: looks at mtime and size
    store[path]                                                 # the last good Mapping; KeyError if there never was one
    store.problems                                              # {path: [Problem]}: what is wrong with the files now

Plugins bring CEL functions of their own with `functions=[hub.expressions.Function(...)]` to `load` and `MappingStore`.
"""

from hub.mapping.diff import Change, diff
from hub.mapping.explain import FieldReport, RuleReport, explain
from hub.mapping.load import load, loads
from hub.mapping.model import Ignored, InboundRule, Mapping, OutboundRule
from hub.mapping.store import MappingStore

__all__ = [
    "Change",
    "FieldReport",
    "Ignored",
    "InboundRule",
    "Mapping",
    "MappingStore",
    "OutboundRule",
    "RuleReport",
    "diff",
    "explain",
    "load",
    "loads",
]
