"""What programs ask of an accelerator, of whatever make, before they use one: there is none so far."""


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """The device to compute on, or None"""
