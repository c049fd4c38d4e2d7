"""Points Hub: webhooks in, exactly-once points, platforms kept in step."""

__version__ = "0.1.0"
