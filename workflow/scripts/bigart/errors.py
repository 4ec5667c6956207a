"""Exceptions that mean "something the user can mend"."""


class UserError(Exception):
    """A fault in the user's input or surroundings.

    ``str(error)`` is the whole message, one or more lines that say what was found, what is
    allowed and what to do. Commands print it without a traceback and exit with status 1.
    """


class PackageError(UserError):
    """A package that is asked for is missing, cannot be imported, or is of another version."""
