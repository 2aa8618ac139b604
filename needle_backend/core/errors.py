"""Errors a user can act on, and the one that means the user asked to stop."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one plain sentence: what is wrong, with which input, and what to do about it.
    """


class BackendError(Exception):
    """Work on valid input failed (a device, a disk); the message is one plain sentence."""


class Cancelled(Exception):
    """The user cancelled; nothing was written."""
