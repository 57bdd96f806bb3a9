"""The panel; besides the widget class, the only code that uses qt and ctk."""
