"""Development only: the process manager behind ``./run`` and its mail catcher. Nothing in production imports this."""
