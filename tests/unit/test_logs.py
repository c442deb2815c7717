"""What stands on stderr: our lines, and nothing in which a library quotes a value of a data element."""

import subprocess
import sys

_LATE_IMPORT = """
import logging
from pacs_ai.logs import set_up_logging
set_up_logging()
import pydicom.config, highdicom  # sets the level of its logger when it is imported
for name in ("pydicom", "pydicom.charset", "highdicom.sr"):
    logging.getLogger(name).error("PatientName is Doe^Jane")
logging.getLogger("pacs_ai.service").info("study 1.2.3: positive")
"""


def test_no_library_quotes_a_patient_whenever_it_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", _LATE_IMPORT], capture_output=True, text=True, check=True)

    assert "Doe^Jane" not in done.stderr
    assert "study 1.2.3: positive" in done.stderr
