"""Run a program written for PyTorch with tinygen, changing only its import lines, or unchanged with PyTorch.

    python tests/parity/ported/run.py [options] PROGRAM.py [the program's arguments]

Every changed line is printed.  torchvision and torch.utils.data are replaced by tests/parity/ported/standins for both
libraries.  --log writes the numbers that the program reads with `.item()`, in full precision; --compare runs both
libraries and prints these numbers side by side.  With --same-start both begin with the same weights and draw the same
noise; without it these differ, because each library has random streams of its own.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

# the longest matching prefix of a module name counts
SUBSTITUTES = {
    "tinygen": {
        "torch": "tinygen",
        "torch.utils": "standins",
        "torch.backends": "standins",
        "torch.nn.parallel": "tinygen.nn",  # imported for its side effect; its functions are for several GPUs
        "torchvision": "standins",
    },
    "torch": {"torch.utils.data": "standins.data", "torchvision": "standins"},
}


def substitute(module: str, table: dict) -> str:
    """The module to import instead"""
    parts = module.split(".")
    for n in range(len(parts), 0, -1):
        prefix = ".".join(parts[:n])
        if prefix in table:
            return ".".join([table[prefix], *parts[n:]])
    return module


def _import(alias: ast.alias, table: dict) -> str:
    """`import a.b` binds a, `import a.b as c` binds a.b"""
    new, top = substitute(alias.name, table), alias.name.partition(".")[0]
    if alias.asname:
        return f"import {new} as {alias.asname}"
    return f"import {new}" if new == alias.name else f"import {substitute(top, table)} as {top}"


def _statement(node, table: dict) -> str:
    if isinstance(node, ast.Import):
        return "; ".join(_import(alias, table) for alias in node.names)
    names = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in node.names)
    return f"from {substitute(node.module, table)} import {names}"


def _is_foreign(node, table: dict) -> bool:
    if isinstance(node, ast.Import):
        return any(substitute(alias.name, table) != alias.name for alias in node.names)
    return (
        isinstance(node, ast.ImportFrom) and not node.level and substitute(node.module, table) != node.module
    )


def rewrite(source: str, table: dict) -> tuple[str, list[tuple[int, str, str]]]:
    """The program with replaced import statements and the same line numbers.  -> text, [(line, before, after)]"""
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
    nodes = [node for node in ast.walk(ast.parse(source)) if _is_foreign(node, table)]
    changes = []
    for node in sorted(nodes, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        first, last = node.lineno - 1, node.end_lineno - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        statement = _statement(node, table)
        changes.append((node.lineno, ast.get_source_segment(source, node), statement))
        lines[first : last + 1] = [before + statement.encode() + after] + [b"\n"] * (last - first)
    return b"".join(lines).decode(), changes[::-1]


def numpy_draws(library, seed: int) -> list:
    """(owner, name, function) replacements that draw initial weights and noise from one NumPy generator"""
    rng = np.random.default_rng(seed)
    init = library.nn.init

    def new(values, requires_grad=False):
        """float32 numbers, so that float32 and float64 runs start alike"""
        return library.tensor(values.astype(np.float32).tolist(), requires_grad=requires_grad)

    def put(tensor, values):
        with library.no_grad():
            return tensor.copy_(new(values))

    def uniform_(tensor, a=0.0, b=1.0, generator=None):
        return put(tensor, rng.uniform(a, b, tuple(tensor.shape)))

    def normal_(tensor, mean=0.0, std=1.0, generator=None):
        return put(tensor, rng.normal(mean, std, tuple(tensor.shape)))

    def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
        assert mode == "fan_in", mode
        gain, fan_in = init.calculate_gain(nonlinearity, a), math.prod(tensor.shape[1:])
        bound = gain * math.sqrt(3 / fan_in)
        return uniform_(tensor, -bound, bound)

    def rand(*size, device=None, requires_grad=False):
        return new(rng.uniform(size=size), requires_grad)

    def randn(*size, device=None, requires_grad=False):
        return new(rng.normal(size=size), requires_grad)

    return [
        (init, "uniform_", uniform_),
        (init, "normal_", normal_),
        (init, "kaiming_uniform_", kaiming_uniform_),
        (library.Tensor, "uniform_", uniform_),
        (library.Tensor, "normal_", normal_),
        (library, "rand", rand),
        (library, "randn", randn),
        (library, "randn_like", lambda x: randn(*x.shape)),
    ]


class Enough(BaseException):
    """Raised when the program has read as many numbers as were wanted."""


def log_items(library, program: Path, log: list, most: int | None) -> None:
    """Record what the program itself reads with `.item()`, but not calls from library code"""
    item = library.Tensor.item

    def logged(tensor):
        value = item(tensor)
        if sys._getframe(1).f_code.co_filename == str(program):
            log.append([value, time.perf_counter()])
            if most is not None and len(log) >= most:
                raise Enough
        return value

    library.Tensor.item = logged


def run(args) -> None:
    program = Path(args.program).resolve()
    text, changes = rewrite(program.read_text(), SUBSTITUTES[args.on])
    for line, before, after in changes:
        print(f"{program.name}:{line}: {' '.join(before.split())}  ->  {after}")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    library = importlib.import_module(args.on)
    standins = importlib.import_module("standins")
    standins.library = library
    standins.options.update(data=args.data, items=args.items, seed=args.seed)
    data, cudnn = (importlib.import_module(f"standins.{name}") for name in ("data", "cudnn"))
    if args.on == "torch":
        library.utils.data.DataLoader = data.DataLoader
    else:  # programs may use torch.utils.data.DataLoader by its full name
        library.utils, library.backends = SimpleNamespace(data=data), SimpleNamespace(cudnn=cudnn)
    if args.float64:
        library.set_default_dtype(library.float64)
        library.FloatTensor = library.DoubleTensor
    if args.same_start:
        np.random.seed(args.seed)  # noqa: NPY002  (programs draw from it themselves)
        for owner, name, function in numpy_draws(library, args.seed):
            setattr(owner, name, function)
    log: list = []
    log_items(library, program, log, args.most)
    folder, log_file = args.folder, args.log and Path(args.log).resolve()
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    sys.argv = [str(program), *args.arguments]
    start = time.perf_counter()
    try:
        exec(compile(text, str(program), "exec"), {"__name__": "__main__", "__file__": str(program)})
    except Enough:
        pass
    print(f"{program.name} on {args.on}: {time.perf_counter() - start:.1f} s, {len(log)} numbers", flush=True)
    if log_file:
        log_file.write_text(
            json.dumps({"numbers": [n for n, _ in log], "seconds": [t - start for _, t in log]})
        )


def logged_run(args, library: str) -> dict:
    """Run the program in a process of its own.  -> the numbers it read, and the seconds at which it did"""
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log.json"
        options = [
            "--on",
            library,
            "--log",
            log,
            "--folder",
            f"{folder}/a/b",
            "--data",
            args.data,
            "--same-start",
        ]
        options += ["--seed", str(args.seed), "--most", str(args.compare)]
        options += [] if args.items is None else ["--items", str(args.items)]
        options += ["--float64"] if args.float64 else []
        command = [sys.executable, str(Path(__file__).resolve()), *options]
        command += [str(Path(args.program).resolve()), *args.arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr}")
        return json.loads(Path(log).read_text())


def compare(args) -> None:
    """Run both libraries, one after the other, and print their numbers side by side"""
    found, seconds = {}, {"tinygen": [], "torch": []}
    for _ in range(args.rounds):
        for name in seconds:
            found[name] = logged_run(args, name)
            seconds[name].append(found[name]["seconds"][-1] - found[name]["seconds"][0])
    ours, theirs = (np.array(found[name]["numbers"]) for name in ("tinygen", "torch"))
    relative = np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-3)
    shown = range(len(ours)) if len(ours) <= 24 else [*range(12), *range(len(ours) - 12, len(ours))]
    print("number        tinygen          torch   relative")
    for i in shown:
        print(f"{i:6} {ours[i]:14.7g} {theirs[i]:14.7g} {relative[i]:10.1e}")
    for name, each in seconds.items():
        print(f"{name}: {min(each):.2f} s from the first number to the last, best of {len(each)}")
    print(f"largest relative difference of {len(ours)} numbers: {relative.max():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--on", choices=SUBSTITUTES, default="tinygen", help="the library")
    parser.add_argument(
        "--data", default="mnist", help="the dataset in place of MNIST (TINYGEN_DATA has the files)"
    )
    parser.add_argument("--items", type=int, help="how many images of each split")
    parser.add_argument("--folder", default=".", help="the program's current directory")
    parser.add_argument("--seed", type=int, default=0, help="of the batches, and of --same-start")
    parser.add_argument(
        "--float64", action="store_true", help="as default dtype, and in place of FloatTensor"
    )
    parser.add_argument("--same-start", action="store_true", help="weights and noise from NumPy")
    parser.add_argument("--log", help="a file for the numbers, as JSON")
    parser.add_argument("--most", type=int, help="end the program after this many numbers")
    parser.add_argument("--compare", type=int, metavar="N", help="run both and compare the first N numbers")
    parser.add_argument("--rounds", type=int, default=1, help="of --compare, for the times")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    compare(args) if args.compare else run(args)


if __name__ == "__main__":
    main()
