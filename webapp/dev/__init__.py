"""Development only: the process manager behind ``./run``, its mail catcher. Production never imports it."""
