"""What a user got wrong, said in one line."""


class UserError(ValueError):
    """Bad input, shown without a traceback: what came, what was wanted and what to do."""


class ConfigError(UserError):
    """A setting of the wrong name, type or range."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another model."""


def listed(names, most: int = 6) -> str:
    """`a, b, c and 4 more`: names for a message that stays one line."""
    names = [str(name) for name in names]
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def first_line(error: BaseException) -> str:
    """What an error says, where a message is to stay one line."""
    return (str(error) or type(error).__name__).split("\n", 1)[0][:200]
