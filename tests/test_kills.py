"""Real processes, killed (SIGKILL) at random moments; what follows must be as if they never had been. See kill_many.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_twenty_kills_leave_no_trace() -> None:
    script = Path(__file__).with_name("kill_many.py")
    done = subprocess.run([sys.executable, script, "--kills", "20"], capture_output=True, text=True, timeout=590)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = re.match(r"(\d+) kills .* all as if never killed", done.stdout)
    assert kills and int(kills[1]) >= 20
