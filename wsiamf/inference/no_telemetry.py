"""Imported before OpenVINO and NNCF: both would send usage statistics to their maker through the package barred here.

Slides of patients are read on machines that must call nobody. OpenVINO takes a stub where the package cannot be imported.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None bars the import
