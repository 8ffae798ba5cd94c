"""The files that `concause site init` writes, with the words that explain each setting."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SiteChoices:
    """What a new site says about itself."""

    name: str
    superlink: str
    runtime_port: int
    data: str
    unit_column: str | None
    one_row_per_unit: bool
    insecure: bool


def site_toml(choices: SiteChoices) -> str:
    """Return a site.toml."""
    column, attested = choices.unit_column, choices.one_row_per_unit
    return f"""\
# One site of a consortium. Paths are relative to this file; secrets stand in files of their own.

[site]
# Its name in the roster.
name = {_text(choices.name)}
# The consortium's roster; policy.toml says which one is allowed.
roster = "roster.json"
# What any round may ask for at most.
policy = "policy.toml"
# Ledger, journal, approvals, log. Keep it, and never put an old copy of it back.
folder = "memory"
# The audit log, for a group of auditors to read and nobody to write.
audit = "audit"
# Signs the site's messages; the roster holds its public half.
signing_key = "keys/site.key"
# Decides which rows of a person count, where there are too many; keep it as it is.
bound_key = "keys/bound.key"
# Where to watch the gate, on loopback: /healthz, /readyz, /metrics.
# health_port = 9095

[data]
# One Parquet, CSV or NDJSON file, or a pattern such as "records/*.parquet".
path = {_text(choices.data)}
# Who is one person: a column, or your word that no person has two rows.
{"" if column else "# "}unit_column = {_text(column or "person_id")}
{"" if attested else "# "}one_row_per_unit = true
# What the gate's engine may take of this machine; beyond it, rows are set aside on the disk.
# memory_limit = "1GB"
# threads = 2
# For longitudinal studies: the visit of a row, 0, 1, 2, ...
# visit_column = "visit"

# Only for variables whose column is named or spelled in another way than in the study.
# [mapping.smoker]
# column = "smokes"
# values = {{ "yes" = "1", "no" = "0" }}
# A survival variable has two columns; values say what the event's words mean.
# [mapping.death]
# time = "days"
# event = "status"
# values = {{ "died" = "event", "alive" = "censored" }}

[flower]
# The coordinator's SuperLink; the site only dials out.
superlink = {_text(choices.superlink)}
# Where gate and SuperNode meet, on loopback.
runtime_port = {choices.runtime_port}
# Shared by gate and SuperNode, and by no one else.
executor_secret = "keys/executor.secret"
# The authority behind the SuperLink's certificate, if it is not a public one.
# root_certificates = "ca.pem"
# EC P-384 in OpenSSH form, where the SuperLink asks for keys.
# node_key = "keys/node.key"
# True on loopback only.
insecure = {str(choices.insecure).lower()}
"""


def policy_toml() -> str:
    """Return a policy.toml that allows nothing yet."""
    return """\
# What any round may ask of this site at most. Unset means no: as it stands, nothing is allowed.
# The gate reads this file anew for every round.
format = "concause-policy/1"

# The hash of the one roster that is allowed; `concause site status` says what to write here.
# roster = "..."

# How sums may be made private: "masking", "aggregators".
aggregation = []

# Optional limits on what may be approved at all.
# authors = ["..."]              # a study's author, word for word
# variables = ["age", "sex"]     # the variables that a study may use
# least_units = 200              # the fewest persons with records that count; for who signs
# longest_round_s = 86400        # how far ahead a round's deadline may lie

[cohort]
# n_min = 3                      # the fewest sites in any sum
# noise_shares = 2               # the fewest honest sites whose noise is counted on

# The most that may ever be spent: on this site's data in all, and by one study.
# Give epsilon and delta, or rho of zCDP.
# [budget.lifetime]
# epsilon = 3.0
# delta = 1e-6
# [budget.year]                  # in any 365 days; may be left out
# epsilon = 1.5
# delta = 1e-6
# [budget.study]
# epsilon = 3.0
# delta = 1e-6

# The people of this site; `concause site person` makes their keys and adds them here.
# A study needs the signatures of a steward and a privacy-officer.
# [[people]]
# name = "..."
# role = "steward"               # steward, privacy-officer, administrator or auditor
# key = "..."
"""


def _text(value: str) -> str:
    """Return a TOML string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)
