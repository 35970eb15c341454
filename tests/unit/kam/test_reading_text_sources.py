"""Markdown, plain text and HTML to documents: the text, the blocks, and where they lie."""

import gc
from collections.abc import Mapping
from typing import Any

import pytest

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.reading import FileToRead, read_source
from aif_kam.sources.unreadable import Unreadable


def read(content: str | bytes, file_name: str) -> SourceDocument:
    return read_source(content if isinstance(content, bytes) else content.encode(), FileToRead(file_name=file_name))


def outline(document: SourceDocument) -> list[tuple[str, int, str]]:
    return [(block.kind.value, block.level, document.text[block.start : block.end]) for block in document.blocks]


def test_markdown_becomes_blocks_with_exact_places() -> None:
    document = read(
        "# Bees\n\nBees *live* in `hives`,\nmany of them.\n\n## Kinds\n\n- queen\n  - one only\n- drone\n\n```\nx = 1\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "bees.md",
    )

    assert document.title == "Bees"
    assert document.media_type == "text/markdown"
    assert outline(document) == [
        ("heading", 1, "Bees"),
        ("paragraph", 0, "Bees live in hives, many of them."),
        ("heading", 2, "Kinds"),
        ("list_item", 1, "queen"),
        ("list_item", 2, "one only"),
        ("list_item", 1, "drone"),
        ("code", 0, "x = 1"),
        ("table_row", 0, "a | b"),
        ("table_row", 0, "1 | 2"),
    ]
    assert document.text.startswith("Bees\n\nBees live in hives, many of them.\n\nKinds\n\nqueen")


def test_places_count_characters_and_not_bytes() -> None:
    document = read("# Käse 🧀\n\nÉté à la ferme.\n", "kaese.md")

    assert [(block.start, block.end) for block in document.blocks] == [(0, 6), (8, 23)]
    assert document.text[8:23] == "Été à la ferme."


def test_front_matter_gives_the_title_and_is_not_text() -> None:
    document = read('---\ntitle: "The hive"\nauthor: me\n---\n# Other\n\nText.\n', "hive.md")

    assert document.title == "The hive"
    assert document.text == "Other\n\nText."


def test_plain_text_headings_are_known_by_underline_number_name_and_capitals() -> None:
    document = read(
        "NETWORKS\n========\n\nFirst paragraph\nof two lines.\n\n1 Cables\n--------\n\nText one.\n\n1.1 Copper\n\nText two.\n\n"
        "Chapter 2: Air\n\nText three.\n\nTHE END\n\nNot a heading, though short.\n",
        "net.txt",
    )

    assert outline(document) == [
        ("heading", 1, "NETWORKS"),
        ("paragraph", 0, "First paragraph of two lines."),
        ("heading", 2, "1 Cables"),
        ("paragraph", 0, "Text one."),
        ("heading", 3, "1.1 Copper"),
        ("paragraph", 0, "Text two."),
        ("heading", 1, "Chapter 2: Air"),
        ("paragraph", 0, "Text three."),
        ("heading", 1, "THE END"),
        ("paragraph", 0, "Not a heading, though short."),
    ]


def test_plain_text_lists_keep_their_depth_and_their_second_lines() -> None:
    document = read("Buy these:\n  * flour, two\n    bags\n      * rye\n  * salt\n", "list.txt")

    assert outline(document) == [
        ("paragraph", 0, "Buy these:"),
        ("list_item", 1, "flour, two bags"),
        ("list_item", 2, "rye"),
        ("list_item", 1, "salt"),
    ]


def test_html_gives_what_a_reader_reads_and_nothing_else() -> None:
    document = read(
        "<html><head><title>Bread &amp; salt</title><style>p{}</style></head><body><nav><a href=/>Home</a></nav><main>"
        "<h1>Bread</h1><p>Mix <b>flour</b> and<br>water.</p><div>Loose text <em>here</em><p>Then a paragraph.</p></div>"
        "<ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul><pre>a\n  b</pre>"
        "<table><tr><th>x</th><td>y</td></tr></table><script>alert(1)</script></main></body></html>",
        "bread.html",
    )

    assert document.title == "Bread & salt"
    assert outline(document) == [
        ("heading", 1, "Bread"),
        ("paragraph", 0, "Mix flour and water."),
        ("paragraph", 0, "Loose text here"),
        ("paragraph", 0, "Then a paragraph."),
        ("list_item", 1, "one"),
        ("list_item", 2, "deep"),
        ("list_item", 1, "two"),
        ("code", 0, "a\n  b"),
        ("table_row", 0, "x | y"),
    ]


def test_html_is_read_in_the_encoding_that_it_declares() -> None:
    document = read('<meta charset="iso-8859-1"><p>Käse'.encode("latin-1"), "kaese.html")

    assert document.text == "Käse"


def test_utf_16_with_its_mark_is_read() -> None:
    assert read("Été.".encode("utf-16"), "ete.txt").text == "Été."


@pytest.mark.parametrize(
    ("content", "file_name", "code", "mend"),
    [
        (b"", "a.md", "source_empty", "text in it"),
        (b" \n\t", "a.txt", "source_empty", "text in it"),
        (b"text", "a.exe", "source_kind", ".docx"),
        (b"text", "no_extension", "source_kind", "extension"),
        (b"caf\xe9", "a.txt", "source_encoding", "UTF-8"),
        (b"a\x00b", "a.txt", "source_binary", ".md"),
        (b"\xef\xbb\xbfa" + b"b" * 9000 + b"\x00", "a.md", "source_with_nul", "NUL"),
        (b"%PDF-1.7 ...", "a.txt", "source_kind", "name it by what it is"),
        (b"plain words", "a.pdf", "source_broken_pdf", "save it again"),
        (b"plain words", "a.docx", "source_broken_docx", "save it again"),
        (b"<html><body><script>1</script></body></html>", "a.html", "source_without_text", "with text in it"),
        (b'<meta charset="klingon"><p>a', "a.html", "source_encoding", "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_mend(content: bytes, file_name: str, code: str, mend: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(content, file_name)

    assert refused.value.code == code
    assert mend in refused.value.mend


def test_more_than_five_million_characters_are_refused() -> None:
    with pytest.raises(Unreadable) as refused:
        read("word " * 1_000_001, "long.txt")

    assert refused.value.code == "source_too_long"


def test_a_text_of_twice_as_many_characters_is_refused_whatever_they_are() -> None:
    with pytest.raises(Unreadable) as refused:
        read(f"<!-- {'x' * 10_000_001} -->\n\nBees.", "long.md")

    assert refused.value.code == "source_too_long"


def test_deeply_nested_html_is_refused_instead_of_breaking_the_reader() -> None:
    with pytest.raises(Unreadable) as refused:
        read("<div>" * 300 + "deep" + "</div>" * 300, "deep.html")

    assert refused.value.code == "source_too_deep"


def test_pasted_text_is_read_as_whatever_shows_more_headings() -> None:
    markdown = read_source(b"# One\n\ntext\n\n## Two\n\ntext", FileToRead(pasted=True))
    plain = read_source(b"1 One\n\ntext\n\n2 Two\n\ntext", FileToRead(pasted=True))

    assert [block.kind for block in markdown.blocks].count(BlockKind.HEADING) == 2
    assert [block.kind for block in plain.blocks].count(BlockKind.HEADING) == 2


def test_scripts_and_styles_in_markdown_are_no_text_and_a_line_break_is_a_space() -> None:
    document = read(
        "One<br>two <script>alert(1)</script>three, a <select> clause.\n\n<style>\np { color: red }\n</style>\n\n<p>Four</p>\n",
        "page.md",
    )

    assert document.text == "One two three, a clause.\n\nFour"


def test_a_word_broken_at_the_end_of_a_line_of_plain_text_is_made_whole() -> None:
    document = read("The hou-\nses of pre- and post-\nwar bees, long-\nand short-lived.\n\n- Bel-\n  low.\n- It.\n", "bees.txt")

    assert document.text == "The houses of pre- and postwar bees, long- and short-lived.\n\nBellow.\n\nIt."


def test_marks_of_quoted_letters_are_no_text_and_a_comparison_is() -> None:
    document = read("> We need\n> > 350 chairs.\n>\n> Soon.\n\nA hive weighs\n> 20 kg.\n", "mail.txt")

    assert document.text == "We need 350 chairs.\n\nSoon.\n\nA hive weighs > 20 kg."


def test_numbered_paragraphs_of_a_law_are_headings() -> None:
    document = read("§ 4 Termination\n\nIt ends.\n\n§5 Court\n\nIn Graz.\n", "law.txt")

    assert [piece for kind, _, piece in outline(document) if kind == "heading"] == ["§ 4 Termination", "§5 Court"]


def test_letters_are_composed_and_what_only_helps_to_set_lines_is_left_out() -> None:
    document = read("Ko\u0308nigin der co\u00adlony.\n", "bees.txt")

    assert document.text == "K\u00f6nigin der colony."


def test_the_tokens_of_large_markdown_are_not_looked_through_for_cycles_while_it_is_read() -> None:
    looks: list[str] = []

    def note(phase: str, _about: Mapping[str, Any]) -> None:
        looks.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        read("- bees *live* in hives\n" * 2_000, "bees.md")
    finally:
        gc.callbacks.remove(note)

    assert len(looks) <= 4
    assert gc.isenabled()
