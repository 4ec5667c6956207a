"""The one exception that means "something the user can mend"."""


class UserError(Exception):
    """A fault in the user's input or surroundings.

    ``str(error)`` is the whole message, one or more lines that say what was found, what is
    allowed and what to do. Commands print it without a traceback and exit with status 1.
    """
