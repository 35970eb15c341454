import enum
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from aif_contracts.money import UsdText
from aif_runtime.env_example import env_example
from aif_runtime.failures import SettingsInvalid
from aif_runtime.process_settings import CommonSettings, LogLevel
from aif_runtime.settings import Secret, load_settings, secrets_of, unknown_variables
from aif_runtime.worker_settings import CostRates, WorkerSettings


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="What it is called")]
    port: Annotated[int, Meta(ge=0, le=65535)] = 80
    share: float = 0.5
    rate: Decimal = Decimal("0.1")
    is_open: bool = False
    colour: Colour = Colour.RED
    patience: timedelta = timedelta(seconds=30)
    key: Annotated[Secret | None, Meta(extra={"env": "OPENAI_API_KEY"})] = None
    models: tuple[str, ...] = ("small",)
    folder: str | None = None


def test_every_type_is_read_from_its_text() -> None:
    settings = load_settings(
        Everything,
        {
            "AIF_NAME": "hive",
            "AIF_PORT": "8080",
            "AIF_SHARE": "0.25",
            "AIF_RATE": "0.000001",
            "AIF_IS_OPEN": "Yes",
            "AIF_COLOUR": "blue",
            "AIF_PATIENCE": "1.5m",
            "OPENAI_API_KEY": "sk-very-secret",
            "AIF_MODELS": "a, b,,c",
            "AIF_FOLDER": "there",
        },
    )

    assert settings == Everything(
        name="hive",
        port=8080,
        share=0.25,
        rate=Decimal("0.000001"),
        is_open=True,
        colour=Colour.BLUE,
        patience=timedelta(seconds=90),
        key=Secret("sk-very-secret"),
        models=("a", "b", "c"),
        folder="there",
    )


def test_what_is_unset_or_empty_has_its_default() -> None:
    settings = load_settings(Everything, {"AIF_NAME": "hive", "AIF_PORT": "", "OPENAI_API_KEY": ""})

    assert settings == Everything(name="hive")


def test_all_mistakes_are_told_at_once_with_the_mend() -> None:
    with pytest.raises(SettingsInvalid) as invalid:
        load_settings(
            Everything,
            {
                "AIF_PORT": "70000",
                "AIF_SHARE": "half",
                "AIF_RATE": "NaN",
                "AIF_IS_OPEN": "perhaps",
                "AIF_COLOUR": "green",
                "AIF_PATIENCE": "soon",
            },
        )

    assert invalid.value.mistakes == (
        "AIF_NAME is not set: set it to a text (What it is called)",
        "AIF_PORT is '70000': expected `int` <= 65535",
        "AIF_SHARE is 'half': set it to a number",
        "AIF_RATE is 'NaN': set it to a decimal number",
        "AIF_IS_OPEN is 'perhaps': set it to true or false",
        "AIF_COLOUR is 'green': set it to one of red, blue",
        "AIF_PATIENCE is 'soon': set it to a duration such as 500ms, 30s, 5m or 2h",
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30", 30), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    settings = load_settings(Everything, {"AIF_NAME": "hive", "AIF_PATIENCE": text})

    assert settings.patience == timedelta(seconds=seconds)


def test_a_duration_without_end_is_a_mistake_with_a_name() -> None:
    with pytest.raises(SettingsInvalid, match="AIF_PATIENCE is '999999999999d': set it to a duration"):
        load_settings(Everything, {"AIF_NAME": "hive", "AIF_PATIENCE": "999999999999d"})


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-a-file\n")

    settings = load_settings(Everything, {"AIF_NAME": "hive", "OPENAI_API_KEY_FILE": str(tmp_path / "key")})

    assert settings.key is not None
    assert settings.key.reveal() == "sk-from-a-file"


def test_a_file_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(SettingsInvalid, match=r"OPENAI_API_KEY cannot be read from the file .*: No such file or directory"):
        load_settings(Everything, {"AIF_NAME": "hive", "OPENAI_API_KEY_FILE": "nowhere/key"})


def test_a_value_given_twice_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="AIF_NAME is set twice, directly and by AIF_NAME_FILE"):
        load_settings(Everything, {"AIF_NAME": "hive", "AIF_NAME_FILE": str(tmp_path / "name")})


def test_a_misspelt_variable_is_found_and_one_of_another_service_is_not() -> None:
    unknown = unknown_variables(
        CommonSettings, {"AIF_NATS_ULR": "x", "AIF_KAM_DATABASE_URL": "y", "AIF_NATS_PASSWORD_FILE": "z", "HOME": "h"}
    )

    assert [(variable.name, variable.did_you_mean) for variable in unknown] == [
        ("AIF_KAM_DATABASE_URL", None),
        ("AIF_NATS_ULR", "AIF_NATS_URL"),
    ]


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter22")

    assert (repr(secret), str(secret), f"{secret}", f"{secret!r:>5}") == ("***", "***", "***", "  ***")
    assert "hunter22" not in repr(Everything(name="hive", key=secret))
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)


def test_the_secrets_of_a_struct_are_known_to_the_log() -> None:
    assert secrets_of(CommonSettings(nats_password=Secret("hunter22"))) == ("hunter22",)


def test_common_settings_need_no_variable_at_all() -> None:
    settings = load_settings(CommonSettings, {})

    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.blobs_url == "nats:"
    assert settings.drain_seconds == 25.0
    assert settings.log_level is LogLevel.INFO
    assert settings.telemetry_endpoint is None


def test_cost_rates_come_from_the_documents_variables() -> None:
    settings = load_settings(
        WorkerSettings, {"KV_OPERATION_COST": "0.0000005", "R2_OPERATION_COST": "0.0000045", "CPU_COST_PER_MS": "0.00002"}
    )

    assert settings.cost_rates == CostRates(
        kv_operation=Decimal("0.0000005"), object_operation=Decimal("0.0000045"), cpu_ms=Decimal("0.00002")
    )


@pytest.mark.parametrize("rate", ["-1", "0.0000000000001", "1e40"])
def test_a_cost_rate_that_cannot_be_sent_exactly_is_refused(rate: str) -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(WorkerSettings, {"CPU_COST_PER_MS": rate})


class Other(CommonSettings, frozen=True, kw_only=True):
    database_url: Annotated[Secret, Meta(description="Where its tables are", extra={"env": "AIF_OTHER_DATABASE_URL"})]


def test_the_example_file_tells_shared_variables_once_and_each_services_own() -> None:
    text = env_example({"granulator": WorkerSettings, "researcher": WorkerSettings, "other": Other})

    assert text.count("AIF_NATS_URL=") == 1
    assert "#AIF_NATS_URL=nats://127.0.0.1:4222" in text
    assert "# ==== granulator, researcher ====" in text
    assert "# US dollars for a millisecond of CPU time. (decimal)\n#CPU_COST_PER_MS=0" in text
    assert text.endswith("# ==== other ====\n\n# Where its tables are. (secret, required)\nAIF_OTHER_DATABASE_URL=\n")


def test_a_text_of_another_form_is_answered_in_words_and_not_with_a_regular_expression() -> None:
    class Spending(Struct, frozen=True, kw_only=True):
        limit_usd: Annotated[UsdText, Meta(description="What may be spent")] = "1"

    with pytest.raises(SettingsInvalid) as refused:
        load_settings(Spending, {"AIF_LIMIT_USD": "-5"})

    assert "AIF_LIMIT_USD is '-5': set it to US dollars as decimal text, for example \"0.0001875\" (What may be spent)" in str(
        refused.value
    )
