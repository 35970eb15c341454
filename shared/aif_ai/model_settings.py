"""Settings of a worker that may ask language models: the same variables for every such worker."""

from typing import Annotated

from msgspec import Meta

from aif_ai.assembly import ModelAccess
from aif_runtime.settings import Secret
from aif_runtime.worker_settings import WorkerSettings


class ModelSettings(WorkerSettings, frozen=True, kw_only=True):
    openai_api_key: Annotated[Secret | None, Meta(description="Key for OpenAI's models", extra={"env": "OPENAI_API_KEY"})] = (
        None
    )
    openai_base_url: Annotated[
        str | None,
        Meta(description="URL of an OpenAI-compatible server (Ollama, vLLM, llama.cpp), for example http://127.0.0.1:11434/v1"),
    ] = None
    openai_models: Annotated[
        tuple[str, ...], Meta(description="Models to use at OpenAI or the compatible server, the preferred one first")
    ] = ("gpt-4o-mini",)
    anthropic_api_key: Annotated[
        Secret | None, Meta(description="Key for Anthropic's models", extra={"env": "ANTHROPIC_API_KEY"})
    ] = None
    anthropic_base_url: Annotated[str | None, Meta(description="Another address for Anthropic's API, for a proxy")] = None
    anthropic_models: Annotated[tuple[str, ...], Meta(description="Models to use at Anthropic, the preferred one first")] = (
        "claude-sonnet-5-5",
    )
    free_models: Annotated[
        tuple[str, ...], Meta(description="Models that cost nothing, such as those on a server of your own")
    ] = ()
    provider_timeout_seconds: Annotated[float, Meta(gt=0, le=3600, description="Longest that one provider call may take")] = (
        300.0
    )
    provider_silence_seconds: Annotated[
        float, Meta(gt=0, le=600, description="Longest that a provider may say nothing during a call")
    ] = 60.0
    source_budget_characters: Annotated[
        int, Meta(ge=1_000, le=2_000_000, description="Characters of a source that go into a model's prompt")
    ] = 200_000

    def model_access(self) -> ModelAccess:
        """What the AI layer may reach."""
        return ModelAccess(
            openai_api_key=self.openai_api_key.reveal() if self.openai_api_key else None,
            openai_base_url=self.openai_base_url,
            openai_models=self.openai_models,
            anthropic_api_key=self.anthropic_api_key.reveal() if self.anthropic_api_key else None,
            anthropic_base_url=self.anthropic_base_url,
            anthropic_models=self.anthropic_models,
            free_models=self.free_models,
            call_timeout_seconds=self.provider_timeout_seconds,
            silence_seconds=self.provider_silence_seconds,
        )
