"""A step of training on a GPU as one CUDA graph: recorded once, then replayed without Python between its kernels.

    @run.captured                              # without --capture, or on a CPU, this changes nothing
    def advance(step, x):                      # everything of a step that happens on the device
        ...
        return losses

    for step in run.steps(config.steps):
        losses = advance(step, batch(step))

The function takes Tensors and arrays on the GPU, which are copied to where the graph reads them; ints, such as the step
that random numbers belong to; floats, to multiply Tensors with; None.  What it returns is overwritten by the next step.
"""

from __future__ import annotations

import numpy as np

from tinygen.engine import devices
from tinygen.engine.tensor import Tensor
from tinygen.kernels.runtime import capture
from tinygen.run.terminal import say

FIRST = 3  # steps before the recording: kernels are compiled in them, moments and tables come into being
MOST = 8  # recordings, before it is given up that something stays as it is for longer


class Captured:
    """A function that is recorded after its first calls, and replayed once a replay was found to do the same."""

    def __init__(self, function, run) -> None:
        self.function, self.run = function, run
        self.calls = self.recordings = 0
        self.recorder = self.kinds = self.reason = None
        self.checked = self.ours = False  # ours: parameters hold the graph's gradients

    def __call__(self, *inputs):
        self.calls += 1
        if self.reason is not None or self.calls <= FIRST:
            return self.function(*inputs)
        kinds = [_kind(x) for x in inputs]
        if self.recorder is None or self.recorder.graph is None:
            if not self._recorded(kinds, inputs):
                return self.function(*inputs)
        elif kinds != self.kinds:  # a batch of another size, for example
            self.ours = False
            return self.function(*inputs)
        elif (name := self.recorder.changed()) is not None:
            self.recorder.graph, self.checked = None, False
            if self.recordings >= MOST:
                self._refuse(f"{name} changes too often")
            return self(*inputs)
        self._take(inputs)
        if not self.checked and self.calls > self.recorded_at:
            return self._check()
        self.recorder.replay()
        return self._results()

    # -- recording ------------------------------------------------------------------------------------------------

    def _recorded(self, kinds: list, inputs) -> bool:
        """Record the function.  Nothing happens on the device, and nothing of the host's that counts steps."""
        from tinygen.kernels.capture.recorder import Recorder

        before = [(p, p.grad) for p in self._parameters()]
        try:
            self.recorder = self.recorder or Recorder()
            self.inputs = [x.copy() if devices.is_device_array(x) else x for x in map(_plain, inputs)]
            self.tensors = [isinstance(x, Tensor) for x in inputs]
            with self.recorder.recording():
                self.given = [self._in_graph(i) for i in range(len(inputs))]
                self.outputs = _detached(self.function(*self.given))
        except Exception as error:
            for p, gradient in before:
                p.grad = gradient
            reason = " ".join(str(error).split()).split("; found ")[0]
            self._refuse(reason or type(error).__name__)
            return False
        self.kinds, self.recorded_at, self.ours = kinds, self.calls, True
        self.gradients = [(p, p.grad) for p in self._parameters()]
        self.recordings += 1
        return True

    def _in_graph(self, i: int):
        """An input as the function gets it in the graph."""
        value = self.inputs[i]
        if type(value) is int:
            return capture.counter(lambda: self.inputs[i])
        if type(value) is float:
            return Tensor._wrap(capture.numbers(1, lambda: [self.inputs[i]])[0])
        if value is None or isinstance(value, bool):
            return value
        if not devices.is_device_array(value):
            raise capture.Refused(
                f"input {i} is a {type(value).__name__}, not a Tensor on the GPU or a number"
            )
        return Tensor._wrap(value) if self.tensors[i] else value

    def _take(self, inputs) -> None:
        for i, value in enumerate(inputs):
            value = _plain(value)
            if devices.is_device_array(value):
                self.inputs[i][...] = value
            else:
                self.inputs[i] = value

    def _results(self):
        if not self.ours:
            for p, gradient in self.gradients:
                p.grad = gradient
            self.ours = True
        return self.outputs

    def _refuse(self, reason: str) -> None:
        self.reason, self.recorder = reason, None
        say(f"{self.run.folder}: steps are not captured: {reason}")

    # -- checking -------------------------------------------------------------------------------------------------

    def _check(self):
        """Do a step kernel by kernel, then once more as the graph, from the same state: all bits must be the same."""
        arrays = self._state()
        before = {name: array.copy() for name, array in arrays.items()}
        with self.recorder.rehearsing():
            self.given = [self._in_graph(i) for i in range(len(self.inputs))]
            outputs = _detached(self.function(*self.given))
        named = _named(outputs)
        expected = {name: array.copy() for name, array in (arrays | named).items()}
        for name, array in arrays.items():
            array[...] = before[name]
        self.recorder.relaunch()
        found = arrays | _named(self.outputs)
        wrong = [name for name, array in expected.items() if not _same(array, found[name])]
        if wrong:
            for name, array in arrays.items():
                array[...] = expected[name]
            self._refuse(
                f"replayed, {wrong[0]} has other values: something that changes from step to step is fixed"
            )
            return outputs
        self.checked, self.ours = True, False
        return self._results()

    def _state(self) -> dict:
        """Every array on the device that the run's checkpoints hold, by name."""
        found: dict = {}
        for name, part in self.run.tracked.items():
            _collect(name, part.state_dict(), found)
        return found

    def _parameters(self) -> list:
        parts = [part for part in self.run.tracked.values() if hasattr(part, "parameters")]
        return [p for part in parts for p in part.parameters()]


def _kind(value):
    """What must stay the same of an input"""
    if isinstance(value, Tensor) or devices.is_device_array(value):
        return type(value), value.shape, value.dtype
    return type(value) if type(value) in (int, float) else value


def _plain(value):
    return value._data if isinstance(value, Tensor) else value


def _detached(value):
    if isinstance(value, (tuple, list)):
        return type(value)(map(_detached, value))
    return value.detach() if isinstance(value, Tensor) else value


def _named(outputs) -> dict:
    found: dict = {}
    _collect("a result", outputs, found)
    return found


def _collect(name: str, value, found: dict) -> None:
    """Add the arrays on a GPU in nested dicts and lists to `found`."""
    if isinstance(value, Tensor):
        if value.is_cuda:
            found[name] = value._data
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(f"{name}.{key}", item, found)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _collect(f"{name} {i}", item, found)


def _same(a, b) -> bool:
    """Whether two arrays on a GPU have the same bits"""
    return bool((a.reshape(-1).view(np.uint8) == b.reshape(-1).view(np.uint8)).all())
