"""The README's table: training steps beside PyTorch on the CPUs of different makers, side by side."""

from __future__ import annotations

from tinygen.benchmarks import machine

COLUMNS = "ms", "÷ PyTorch", "÷ compile", "under load"
NOTE = (
    "ms: tinygen's, per training step, medians; ÷: its time over PyTorch eager's and over torch.compile's; under "
    "load: its mean over\neager's while other programs keep every core busy. Below 1 is faster. After a comma: the "
    "[network]({}) as a user writes it."
)
USERS = "benchmarks/user_steps/networks.py"


def table(measured: list[dict]) -> str:
    """One row per network, and for each maker's CPU its columns: the step of the model, then the user's."""
    found = _by_maker(measured)
    if not found:
        return "Not measured yet on an idle machine."
    names = list(dict.fromkeys(name for _, rows in found.values() for name in rows))
    head, lines = ["step"], [[_label(name, found)] for name in names]
    for maker, (_, rows) in found.items():
        cells = [_cells(rows.get(name, {})) for name in names]
        for i, column in enumerate(COLUMNS):
            if any(row[i] for row in cells):
                head.append(f"{maker}: {column}" if column == "ms" else column)
                for line, row in zip(lines, cells):
                    line.append(row[i])
    rows = [head, ["---"] * len(head), *lines]
    where = "; ".join(
        f"{r['machine']['cpu']}, {r['machine']['threads']} threads, PyTorch {r['versions']['torch']}"
        for r, _ in found.values()
    )
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows]) + f"\n\n{NOTE.format(USERS)}\n{where}."


def _by_maker(measured: list[dict]) -> dict[str, tuple[dict, dict[str, dict]]]:
    """Maker -> its first result that has steps, and those steps: network -> {"": case, "user-": case}"""
    found = {}
    for result in measured:
        if "device" in result["machine"]:
            continue
        steps: dict[str, dict] = {}
        for case in result["cases"]:
            if case["step"]:
                whose = "user-" if case["group"].startswith("user-") else ""
                steps.setdefault(case["group"].removeprefix("user-"), {})[whose] = case
        if steps:
            found.setdefault(machine.maker(result["machine"]["cpu"]), (result, steps))
    return found


def _label(name: str, found: dict) -> str:
    """ "vae, 784-256-256-20, batch 128" """
    cases = next(rows[name] for _, rows in found.values() if name in rows)
    return f"{name}, {next(iter(cases.values()))['shape']}"


def _cells(cases: dict[str, dict]) -> list[str]:
    """The columns of a network, "0.84, 0.91"; "" where nothing was measured"""
    columns = zip(*(_numbers(cases[whose]) for whose in ("", "user-") if whose in cases))
    return [", ".join(filter(None, column)) for column in columns] or [""] * len(COLUMNS)


def _numbers(case: dict) -> list[str]:
    ratios, load = case["ratios"], case.get("under_load", {})
    numbers = ratios.get("torch"), ratios.get("torch.compile"), load.get("ratio")
    ms = f"{case['sides']['tinygen']['ms']:#.3g}".rstrip(".")
    return [ms, *("" if number is None else f"{number:.2f}" for number in numbers)]
