"""What is wrong with a data file or folder, in one line."""


class DataError(ValueError):
    """A dataset is missing or damaged: names the file, what was found and what was expected."""
