"""concause: causal models and synthetic data from institutions that may not pool their records.

The wheel keeps `server`, `client` and `protocol` in `concause/app/`, so that no
package with such a plain name reaches site-packages. In an editable install that
folder is absent, and the application root is the checkout itself.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.causal.counterfactuals.counterfactual import counterfactual
    from server.causal.counterfactuals.cross_world import cross_world
    from server.causal.exchange.dowhy_model import to_dowhy
    from server.causal.exchange.graphs import read_graph, write_graph
    from server.causal.exchange.network_model import from_bif
    from server.causal.exchange.pgmpy_model import to_pgmpy
    from server.causal.mediation.effects import mediate
    from server.causal.model import Model, load
    from server.causal.production.population import write_population
    from server.causal.sampling.engine import Engine
    from server.causal.sensitivity.alternatives import alternative_graphs
    from server.causal.sensitivity.confounding import unmeasured_confounder
    from server.causal.sensitivity.e_values import e_value, e_values
    from server.causal.sensitivity.missing import missing_not_at_random
    from server.causal.synthetic.combining import combine
    from server.causal.transport.transport import transport
    from server.causal.worlds.identification import identify_effect
    from server.causal.worlds.interventions import agent, capacity, policy, randomised, shift

_HERE = Path(__file__).resolve().parent
_BUNDLED = _HERE / "app"
APP_ROOT = _BUNDLED if _BUNDLED.is_dir() else _HERE.parents[2]

if str(APP_ROOT) not in sys.path:
    sys.path.insert(0, str(APP_ROOT))

__all__ = [
    "APP_ROOT",
    "Engine",
    "Model",
    "agent",
    "alternative_graphs",
    "capacity",
    "combine",
    "counterfactual",
    "cross_world",
    "e_value",
    "e_values",
    "from_bif",
    "identify_effect",
    "load",
    "mediate",
    "missing_not_at_random",
    "policy",
    "randomised",
    "read_graph",
    "shift",
    "to_dowhy",
    "to_pgmpy",
    "transport",
    "unmeasured_confounder",
    "write_graph",
    "write_population",
]

_HOMES = {
    "Engine": "server.causal.sampling.engine",
    "Model": "server.causal.model",
    "agent": "server.causal.worlds.interventions",
    "alternative_graphs": "server.causal.sensitivity.alternatives",
    "capacity": "server.causal.worlds.interventions",
    "combine": "server.causal.synthetic.combining",
    "counterfactual": "server.causal.counterfactuals.counterfactual",
    "cross_world": "server.causal.counterfactuals.cross_world",
    "e_value": "server.causal.sensitivity.e_values",
    "e_values": "server.causal.sensitivity.e_values",
    "from_bif": "server.causal.exchange.network_model",
    "identify_effect": "server.causal.worlds.identification",
    "load": "server.causal.model",
    "mediate": "server.causal.mediation.effects",
    "missing_not_at_random": "server.causal.sensitivity.missing",
    "policy": "server.causal.worlds.interventions",
    "randomised": "server.causal.worlds.interventions",
    "read_graph": "server.causal.exchange.graphs",
    "shift": "server.causal.worlds.interventions",
    "to_dowhy": "server.causal.exchange.dowhy_model",
    "to_pgmpy": "server.causal.exchange.pgmpy_model",
    "transport": "server.causal.transport.transport",
    "unmeasured_confounder": "server.causal.sensitivity.confounding",
    "write_graph": "server.causal.exchange.graphs",
    "write_population": "server.causal.production.population",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module may hold
    """Load the model's code when it is first asked for: commands start without pandas."""
    if name not in _HOMES:
        raise AttributeError(f"module 'concause' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
