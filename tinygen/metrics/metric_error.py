"""What a measure cannot be computed from, in one line."""


class MetricError(ValueError):
    """A measure that these inputs do not have: names the measure, what was found and what was expected."""
