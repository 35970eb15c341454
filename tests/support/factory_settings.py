"""Settings for factories under test."""

from support.provider_double.server import ProviderDouble


def model_settings(provider: ProviderDouble) -> dict[str, str]:
    """The double is Anthropic: same wire, same prices."""
    return {
        "AIF_ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-test",
        "AIF_ANTHROPIC_MODELS": "claude-sonnet-5-5",
    }
