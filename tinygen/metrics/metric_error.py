"""The error for inputs that a measure cannot be computed from, for all files of this room."""


class MetricError(ValueError):
    """A measure is not defined for its inputs: names the measure, what was found and what was expected."""
