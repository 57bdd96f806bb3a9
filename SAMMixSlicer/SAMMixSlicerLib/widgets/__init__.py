"""The panel: the only place, with the widget class, that knows qt and ctk."""
