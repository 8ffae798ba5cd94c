"""concause: causal models and synthetic data from institutions that may not pool their records.

The wheel keeps `server`, `client` and `protocol` in `concause/app/`, so that no
package with such a plain name reaches site-packages. In an editable install that
folder is absent, and the application root is the checkout itself.
"""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_BUNDLED = _HERE / "app"
APP_ROOT = _BUNDLED if _BUNDLED.is_dir() else _HERE.parents[2]

if str(APP_ROOT) not in sys.path:
    sys.path.insert(0, str(APP_ROOT))

from server.causal.model import Model, load  # noqa: E402 - needs the path set above

__all__ = ["APP_ROOT", "Model", "load"]
