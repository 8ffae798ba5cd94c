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
    from server.causal.model import Model, load
    from server.causal.synthetic.combining import combine

_HERE = Path(__file__).resolve().parent
_BUNDLED = _HERE / "app"
APP_ROOT = _BUNDLED if _BUNDLED.is_dir() else _HERE.parents[2]

if str(APP_ROOT) not in sys.path:
    sys.path.insert(0, str(APP_ROOT))

__all__ = ["APP_ROOT", "Model", "combine", "load"]

_HOMES = {
    "Model": "server.causal.model",
    "combine": "server.causal.synthetic.combining",
    "load": "server.causal.model",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module may hold
    """Load the model's code when it is first asked for: commands start without pandas."""
    if name not in _HOMES:
        raise AttributeError(f"module 'concause' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
