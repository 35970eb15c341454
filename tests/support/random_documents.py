"""Documents for hypothesis: plausible prose mixed with anything that text can hold."""

from hypothesis import strategies as st

from support.source_documents import from_markdown

WORDS = "bee hive queen honey wax the a of is 12 3.5 frost Swarm nectar pollen and they in 1852 per cent".split()  # noqa: SIM905
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=24).map(lambda words: " ".join(words).capitalize() + ".")
PARAGRAPHS = st.lists(st.one_of(SENTENCES, st.text(min_size=1, max_size=60)), min_size=1, max_size=6).map(" ".join)
LINES = st.one_of(
    PARAGRAPHS,
    PARAGRAPHS.map(lambda text: f"- {text}"),
    st.tuples(st.integers(1, 4), st.sampled_from(WORDS)).map(lambda pair: f"{'#' * pair[0]} {pair[1]}"),
)
DOCUMENTS = st.lists(LINES, max_size=30).map(lambda lines: from_markdown("\n\n".join(lines)))
