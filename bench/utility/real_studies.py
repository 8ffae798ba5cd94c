"""Studies of real data with accepted effects: edges and arrows from public knowledge alone.

What is public is said above each body: codebooks, trial protocols, textbooks. None of the edges or
arrows was tried on the records; where an answer is far from the accepted one, it stays so, and
`bench/utility/real.py` says why. Tables have to stay small, because persons are few: an outcome
has at most four parents beside the treatment.
"""

import numpy as np
from numpy.typing import NDArray

# Public: Hernán and Robins (What If, 12.1) name age, sex and the intensity of smoking among the
# confounders; survey respondents were 25 to 74; a pack holds 20 cigarettes. Adults' weight changes
# by about 2.5 kg in ten years with a standard deviation of about 8 kg: the outer edges stand at
# about three of these. Left out of their nine: race, education, exercise, activity, years smoked
# and weight in 1971.
NHEFS = """
graph = { edges = [
    "age -> quit", "sex -> quit", "intensity -> quit", "age -> intensity", "sex -> intensity",
    "age -> change", "sex -> change", "intensity -> change", "quit -> change",
] }
[variables.age]
kind = "numeric"
edges = [25, 40, 55, 75]
unit = "years"
[variables.sex]
kind = "boolean"
[variables.intensity]
kind = "numeric"
edges = [0, 15, 25, 80]
unit = "cigarettes/day"
[variables.quit]
kind = "boolean"
[variables.change]
kind = "numeric"
edges = [-20, -10, -5, 0, 5, 10, 15, 25]
unit = "kg"
"""

# Public: the programme took persons long out of work, and few who were married (its eligibility
# rules); earnings before it confound most (Dehejia and Wahba 1999), and many are zero. The CPS cut
# 1978 earnings off at 25,564 dollars, where a quarter of its persons stand: a bin of their own.
# Left out: age, schooling, degree, Hispanic origin.
NSW = """
graph = { edges = [
    "black -> married", "black -> re74", "married -> re74", "re74 -> re75",
    "black -> treated", "married -> treated", "re74 -> treated", "re75 -> treated",
    "black -> re78", "married -> re78", "re74 -> re78", "re75 -> re78", "treated -> re78",
] }
[variables.black]
kind = "boolean"
[variables.married]
kind = "boolean"
[variables.re74]
kind = "numeric"
edges = [0, 1, 5000, 15000, 26000]
unit = "dollars"
[variables.re75]
kind = "numeric"
edges = [0, 1, 5000, 15000, 26000]
unit = "dollars"
[variables.treated]
kind = "boolean"
[variables.re78]
kind = "numeric"
edges = [0, 1, 2500, 5000, 10000, 15000, 20000, 25000, 26000]
unit = "dollars"
"""

# Public: the protocol. Treatment was randomised, so that nothing confounds it; follow-up was at
# most about 1,230 days and is read half-yearly. A level is the half-year in which a patient left
# and whether with an event. Survival as a table: a mechanism of its own takes its place here as
# soon as the study format has one (variables.exit, and `hazard_ratios` in real.py).
ACTG175_HALF_YEARS = 7
ACTG175 = f"""
graph = {{ edges = ["arm -> exit"] }}
[variables.arm]
kind = "categorical"
levels = ["zidovudine", "zidovudine and didanosine", "zidovudine and zalcitabine", "didanosine"]
[variables.exit]
kind = "categorical"
levels = {[f"{way} {at}" for way in ("event", "left") for at in range(ACTG175_HALF_YEARS)]}
"""

# Public: the 58 covariates, which all instances share and which were published (instances differ in
# treatment and outcome only). Their meaning was not, so that no arrow can be argued for: studied
# are three scores, the first principal components of the standardised covariates, each cut into
# thirds. Outcomes have no unit and another range in every instance, of which nothing was published:
# `outcome_edges` takes it from the instance itself, where a codebook would have said it. (Edges
# that suited instance 1 were tried first; two instances lay outside them altogether.)
_ACIC = """
graph = { edges = [
    "first -> treated", "second -> treated", "third -> treated",
    "first -> outcome", "second -> outcome", "third -> outcome", "treated -> outcome",
] }
[variables.first]
kind = "ordinal"
levels = ["low", "middle", "high"]
[variables.second]
kind = "ordinal"
levels = ["low", "middle", "high"]
[variables.third]
kind = "ordinal"
levels = ["low", "middle", "high"]
[variables.treated]
kind = "boolean"
[variables.outcome]
kind = "numeric"
edges = EDGES
"""
ACIC_BINS = 8


def acic_body(outcome: NDArray[np.float64]) -> str:
    """Return the body of an instance's study, for the range of its outcomes."""
    return _ACIC.replace("EDGES", str(outcome_edges(outcome)))


def outcome_edges(outcome: NDArray[np.float64]) -> list[float]:
    """Return ACIC_BINS bins of one width between the 0.5th and the 99.5th percentile."""
    low, high = np.quantile(outcome, [0.005, 0.995])
    return [round(float(edge), 3) for edge in np.linspace(low, high, ACIC_BINS + 1)]
