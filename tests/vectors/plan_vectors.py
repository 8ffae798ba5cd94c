"""Write `plan_v1.json`: studies with the bytes and hashes that every machine must find.

Run from the repository root: python -m tests.vectors.plan_vectors
A change of these vectors is a change of the protocol: sites of two versions would refuse each
other's plans.
"""

import json
from pathlib import Path

from protocol.canonical import fraction_text
from protocol.errors import UsageError
from protocol.privacy.plan import compile_plan
from protocol.study.document import parse_study
from tests.support.studies import MIXED_TEXT, STUDY_TEXT, VISITS_TEXT, edited

VECTORS = Path(__file__).with_name("plan_v1.json")

CASES = {
    "example": STUDY_TEXT,
    "budget-in-rho": edited("epsilon = 3.0\ndelta = 1e-6", "rho = 0.01"),
    "small-epsilon": edited("epsilon = 3.0", "epsilon = 0.1"),
    "many-rows-and-colluders": edited(
        "n_min = 3\ntolerated_colluders = 0\nthreshold = 2",
        "n_min = 20\ntolerated_colluders = 2\nthreshold = 15",
        edited("[budget]", "[unit]\nmax_rows_per_unit = 12\n\n[budget]"),
    ),
    "all-kinds": MIXED_TEXT,
    "visits": VISITS_TEXT,
    "weights-of-another-plan": f"{STUDY_TEXT}\n[plan]\nweights = [{{ clique = [], weight = 1 }}]\n",
    "scales-held-at-3": edited("epsilon = 3.0", "epsilon = 12"),
    "budget-too-large-to-spend": edited("epsilon = 3.0", "epsilon = 100"),
    "sums-too-large": edited(
        "edges = [25, 35, 45.50, 75]",
        f"edges = {list(range(200))}",
        edited("[budget]", "[unit]\nmax_rows_per_unit = 1000000\n\n[budget]"),
    ),
}


def vector(text: str) -> dict[str, object]:
    """Return what a party must find for the study in `text`."""
    study = parse_study(text)
    found: dict[str, object] = {
        "study": text,
        "study_canonical": study.canonical.decode(),
        "study_hash": study.hash.hex(),
    }
    try:
        plan = compile_plan(study)
    except UsageError as refusal:
        return {**found, "success": False, "code": refusal.code}
    return {
        **found,
        "success": True,
        "noise_shares": plan.noise_shares,
        "length": plan.length,
        "rho": fraction_text(plan.rho),
        "site_scales": [fraction_text(block.site_scale) for block in plan.blocks],
        "plan_canonical": plan.canonical.decode(),
        "plan_hash": plan.hash.hex(),
    }


def main() -> None:
    """Write the file anew."""
    vectors = {name: vector(text) for name, text in CASES.items()}
    VECTORS.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
