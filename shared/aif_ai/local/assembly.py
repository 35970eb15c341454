"""The local providers of analysis, as the worker that has their libraries takes them."""

from aif_ai.local.pii.detection import PiiOptions, redaction_of
from aif_ai.local.sentiment import SentimentOptions, sentiment_of
from aif_ai.local.speech.provider import NAME as SPEECH
from aif_ai.local.speech.provider import LocalSpeech
from aif_ai.local.summary import SummaryOptions, summary_of
from aif_ai.local.text_rules import TextRules
from aif_ai.provider import Provider
from aif_ai.requests import Capability

PII = "local_pii"
SENTIMENT = "local_sentiment"
SUMMARY = "local_summary"
LOCAL_PROVIDERS = frozenset({SPEECH, PII, SENTIMENT, SUMMARY})


def local_providers(speech: LocalSpeech) -> tuple[Provider, ...]:
    """A model's number rises when the same text would give something else."""
    return (
        speech,
        TextRules(name=PII, model="rules-1", capability=Capability.PII_REDACTION, options=PiiOptions, work=redaction_of),
        TextRules(
            name=SENTIMENT,
            model="vader-1",
            capability=Capability.SENTIMENT_ANALYSIS,
            options=SentimentOptions,
            work=sentiment_of,
        ),
        TextRules(
            name=SUMMARY, model="textrank-1", capability=Capability.SUMMARIZATION, options=SummaryOptions, work=summary_of
        ),
    )
