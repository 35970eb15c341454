"""Settings for factories under test."""

from support.provider_double.server import ProviderDouble


def model_settings(provider: ProviderDouble) -> dict[str, str]:
    """The double is the factory's language model, under the name and the price of a real one."""
    return {
        "AIF_OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "sk-test",
        "AIF_OPENAI_MODELS": "gpt-4o-mini",
    }
