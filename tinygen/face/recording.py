"""PyTorch's other switches of recording, beside `no_grad` and `enable_grad`."""

from __future__ import annotations

from tinygen.engine.grad_mode import SetRecording, no_grad, this_thread


def inference_mode(mode=True):
    """`no_grad`, or with False `enable_grad`; what it computes is no different here, where PyTorch's is marked."""
    return SetRecording(not mode) if isinstance(mode, bool) else no_grad(mode)


class set_grad_enabled(SetRecording):
    """Record or not, from this call on; as `with set_grad_enabled(mode):` for a block, or as a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self.outside, this_thread.recording = this_thread.recording, mode

    def __enter__(self) -> None:
        self.before.append(self.outside)
        this_thread.recording = self.recording

    def __call__(self, function):
        this_thread.recording = self.outside
        return super().__call__(function)
