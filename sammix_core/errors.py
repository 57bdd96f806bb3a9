"""The errors that SAMMix shows to its users: each message is one sentence that says what is wrong and what to do."""


class SammixError(Exception):
    """Something the user can understand and act on; the command line prints it and exits with code 2."""


class InputError(SammixError):
    """The input (a file, boxes, an argument) cannot be used as it is."""


class Cancelled(SammixError):
    """The user stopped the work; nothing was written."""
