"""What training foresees: told in words, with the file that it is about."""


class FilmError(ValueError):
    """A training folder that cannot be used; says which file and why."""
