"""`python -m aif_classifier`: one replica of the classifier."""

import sys

from aif_classifier.settings import ClassifierSettings
from aif_classifier.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="classifier", settings_type=ClassifierSettings, wire=wire))
