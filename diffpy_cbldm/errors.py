"""The one exception that a user's input can cause."""


class CbldmError(ValueError):
    """A mistake in the input; the text says what to do about it.

    The message names the value, what was expected and the next step.  The
    command line prints it as one line and ends with exit code 1.
    """
