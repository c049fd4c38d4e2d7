"""Others that take webhooks and pass them on, measured beside the hub where they are installed."""
