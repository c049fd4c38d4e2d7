"""The REST API: `/api/v1`, what shops, apps and tills ask for and do. Nothing here is imported before it is asked.

tokens      who may ask for what, and pace how fast
problems    every answer that is no: application/problem+json
calling     who asks, and under which idempotency key
fields      what fields of questions and answers are made of
routing     a route: its scope, and what it answers
members, tiers, redemptions, vouchers, events, adjustments, approvals: the resources, each with what it asks and answers
app         the application that they make
"""
