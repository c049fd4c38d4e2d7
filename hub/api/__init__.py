"""The REST API: `/api/v1`, what shops, apps and tills ask for and do. Nothing here is imported before it is asked.

tokens     who may ask for what
problems   every answer that is no: application/problem+json
shapes     what is asked and answered
app        the application: routes and their scopes
"""
