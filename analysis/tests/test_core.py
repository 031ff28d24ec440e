"""core/ is what any later model may stand on, so it stands on nothing of the rest."""

import subprocess
import sys


def test_core_imports_nothing_from_the_rest():
    code = (
        "import importlib, pkgutil, sys, analysis.core as core; "
        "[importlib.import_module(f'analysis.core.{module.name}') for module in pkgutil.iter_modules(core.__path__)]; "
        "print([name for name in sys.modules if name.startswith('analysis.') and name.split('.')[1] != 'core'])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
