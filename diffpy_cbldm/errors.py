"""The one exception that a user's input can cause, and the one warning."""


class CbldmError(ValueError):
    """A mistake in the input; the text says what to do about it.

    The message names the value, what was expected and the next step.  The
    command line prints it as one line and ends with exit code 1.
    """


class CbldmWarning(UserWarning):
    """Something that a user should know; the work goes on without it."""
