"""The error for bad data files and folders, for all files of this room."""


class DataError(ValueError):
    """A dataset is missing or damaged: names the file, what was found and what was expected."""
