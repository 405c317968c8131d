from __future__ import annotations

import subprocess
import sys


def test_without_torch_the_extra_is_named():
    code = "import sys; sys.modules['torch'] = None; import honed.torch"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr.splitlines()[-1] == (
        'honed.errors.MissingExtra: torch is not installed. Install it with: pip install "honed[torch]"'
    )
