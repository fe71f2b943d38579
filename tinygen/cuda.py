"""What programs ask of a GPU before they use one: there is none so far."""


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed_all(seed: int) -> None:
    """Nothing to seed: `tinygen.manual_seed` seeds all there is."""
