"""Development only: the process manager behind ``./run`` and its mail catcher. Production never imports this."""
