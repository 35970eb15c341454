from datetime import timedelta

import pytest

from aif_classifier.settings import ClassifierSettings
from aif_runtime.failures import SettingsInvalid
from aif_runtime.settings import load_settings

URL = {"AIF_CLASSIFIER_DATABASE_URL": "postgresql://classifier:sesame@localhost/aif"}


def test_the_database_is_all_that_has_to_be_set_and_its_password_is_not_shown() -> None:
    settings = load_settings(ClassifierSettings, URL)

    assert settings.classifier_retention == timedelta(days=90)
    assert settings.classifier_window == timedelta(days=7)
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("AIF_CLASSIFIER_WINDOW", "91d", "AIF_CLASSIFIER_WINDOW is longer than AIF_CLASSIFIER_RETENTION"),
        ("AIF_CLASSIFIER_ANALYSIS_INTERVAL", "0s", "AIF_CLASSIFIER_ANALYSIS_INTERVAL is 0"),
        ("AIF_CLASSIFIER_MINIMUM_CONFIDENCE", "1", "AIF_CLASSIFIER_MINIMUM_CONFIDENCE"),
        ("AIF_CLASSIFIER_MINIMUM_SAMPLE", "3", "AIF_CLASSIFIER_MINIMUM_SAMPLE"),
        ("AIF_CLASSIFIER_SLOTS", "17", "AIF_CLASSIFIER_SLOTS"),
        ("CPU_COST_PER_MS", "-1", "cpu_cost_per_ms is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(variable: str, value: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(ClassifierSettings, URL | {variable: value})

    assert told in str(refused.value)
