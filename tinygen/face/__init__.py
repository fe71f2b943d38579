"""What makes the engine PyTorch to its callers: checked arguments, explained errors, old names, printing."""


def install(namespace: dict) -> None:
    from tinygen.face import installation  # for as long as the engine imports `keywords`

    installation.install(namespace)
