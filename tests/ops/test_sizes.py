"""Every case with every size replaced by 0 and by 1: tinygen computes and refuses what PyTorch does."""

import pytest
from cases import CASES
from test_ops import EVERY, check_parity, needs_torch, run_ours, run_theirs


def resized(case) -> list:
    """The case's inputs with every size in turn replaced by 0 and by 1 wherever it occurs."""
    arrays = case.arrays()
    variants = []
    for n in sorted({n for a in arrays for n in a.shape}):
        for size in {0, 1} - {n}:
            variants.append([a[tuple(slice(size if m == n else m) for m in a.shape)] for a in arrays])
    return variants


REFUSALS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError)
LIMITS = (  # PyTorch's messages where it does not handle an empty dimension although the result is well defined
    "select(): index 0 out of range",
    "because the unspecified dimension size -1 can be any value",
    "returned an invalid gradient at index",
    "other non-zero dimensions for input",
    "There are 0 sized dimensions, and they aren't selected",
    "Only zero batch or zero channel inputs are supported",
)
DIFFERENT = {  # name: what the message must say, reason
    "Tensor.__repr__": ("output 0", "PyTorch's dtypes are called torch.bool"),
    "pixel_unshuffle": ("output 0", "PyTorch returns an empty image as it is, in the wrong shape"),
    "group_norm": (
        "gradient 1",
        "PyTorch's gradient of the weight is nan where there are no places to sum over",
    ),
    "norm": ("second gradient", "PyTorch's is nan where nothing is summed"),
    "pairwise_distance": ("second gradient", "PyTorch's is nan where nothing is summed"),
    "var": ("second gradient", "PyTorch's is nan where nothing is summed"),
    "std": ("second gradient", "PyTorch's is nan where nothing is summed"),
    "var_mean": ("second gradient", "PyTorch's is nan where nothing is summed"),
    "index_add": ("an index is outside", "PyTorch does not look at the index of empty slices"),
    "index_copy": ("an index is outside", "PyTorch does not look at the index of empty slices"),
    "index_put": ("an index is outside", "PyTorch does not look at the index of empty slices"),
    "repeat_interleave": ("found output_size", "PyTorch does not check output_size of what is empty"),
    "F.cross_entropy": ("output 0", "PyTorch's mean over no classes is nan"),
}
DIFFERENT["F.scaled_dot_product_attention-17"] = ("", "PyTorch does not broadcast the batch of empty values")
DIFFERENT["F.group_norm_silu"] = DIFFERENT["group_norm"]
for name in ("nn.BatchNorm2d", "nn.InstanceNorm2d"):
    DIFFERENT[name] = (
        "found running_mean",
        "PyTorch does not look at the statistics where nothing is normalised",
    )
DIFFERENT["nn.PixelUnshuffle"], DIFFERENT["nn.GroupNorm"] = (
    DIFFERENT["pixel_unshuffle"],
    DIFFERENT["group_norm"],
)
for name in ("nn.Conv1d", "conv1d", "conv2d", "conv_transpose2d"):
    DIFFERENT[name] = DIFFERENT[f"F.{name}"] = (
        "groups do not divide",
        "PyTorch convolves images of no channels",
    )
DIFFERENT["F.interpolate-59"] = ("nothing is left of", "PyTorch makes images of no columns, by area alone")
for name in ("nn.AdaptiveAvgPool1d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "interpolate"):
    DIFFERENT[name] = DIFFERENT[f"F.{name}"] = ("not empty", "PyTorch pools images of no channels")


def _excused(key, error) -> bool:
    """Whether `error` is one of PyTorch's limits, or listed in DIFFERENT for the case or for all cases of its name."""
    words, name = str(error), key and CASES[key].name
    known = [DIFFERENT[k][0] for k in {key, name} if k in DIFFERENT]
    return any(phrase in words for phrase in [*LIMITS, *known])


@needs_torch
@pytest.mark.parametrize("key", [key for key in EVERY if CASES[key].parity and CASES[key].inputs])
def test_parity_of_other_sizes(key):
    """Empty and size-one dimensions: tinygen computes what PyTorch computes and refuses what it refuses."""
    case = CASES[key]
    for arrays in resized(case):
        shapes = ", ".join(str(a.shape) for a in arrays)
        try:
            run_theirs(case, arrays)
        except REFUSALS as error:
            if not _excused(None, error):
                with pytest.raises(REFUSALS):
                    run_ours(case, arrays)
                    pytest.fail(f"{shapes}: PyTorch raises {type(error).__name__}: {error}")
            continue
        try:
            check_parity(case, arrays, case.tolerance)
        except (AssertionError, *REFUSALS) as error:
            if _excused(key, error):
                continue
            raise AssertionError(f"{shapes}: {type(error).__name__}: {error}") from error
