"""Real PDF and Word files, made here, to documents; and broken ones to refusals."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import docx
import pypdf
import pytest
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import ListFlowable, PageBreak, Paragraph, SimpleDocTemplate

from aif_contracts.documents import SourceDocument
from aif_kam.sources.reading import FileToRead, read_source
from aif_kam.sources.unreadable import Unreadable


def outline(document: SourceDocument) -> list[tuple[str, int, str]]:
    return [(block.kind.value, block.level, document.text[block.start : block.end]) for block in document.blocks]


def pdf_of(parts: Sequence[tuple[str, str]], *, title: str | None = None) -> bytes:
    styles = getSampleStyleSheet()
    story: list[Any] = []
    for style, text in parts:
        if style == "page":
            story.append(PageBreak())
        elif style == "item":
            story.append(ListFlowable([Paragraph(text, styles["BodyText"])], bulletType="bullet", start="\u2022"))
        else:
            story.append(Paragraph(text, styles[style]))
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer, title=title).build(story)
    return buffer.getvalue()


def read_pdf(content: bytes) -> SourceDocument:
    return read_source(content, FileToRead(file_name="paper.pdf"))


LONG = "Bees live in hives and each hive has one queen who lays all of the eggs. "


def test_a_pdf_gives_headings_by_letter_size_and_paragraphs_by_distance() -> None:
    document = read_pdf(
        pdf_of(
            [
                ("Heading1", "Keeping bees"),
                ("BodyText", LONG * 4),
                ("BodyText", "A second paragraph begins here. " * 5),
                ("Heading2", "The queen"),
                ("BodyText", LONG * 2),
                ("item", "smoker"),
                ("item", "veil"),
            ],
            title="A first year",
        )
    )

    assert document.title == "A first year"
    assert outline(document) == [
        ("heading", 1, "Keeping bees"),
        ("paragraph", 0, (LONG * 4).strip()),
        ("paragraph", 0, ("A second paragraph begins here. " * 5).strip()),
        ("heading", 2, "The queen"),
        ("paragraph", 0, (LONG * 2).strip()),
        ("list_item", 1, "smoker"),
        ("list_item", 1, "veil"),
    ]


def test_page_numbers_and_running_heads_of_a_pdf_are_left_out() -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for page in range(1, 5):
        canvas.setFont("Helvetica", 8)
        canvas.drawString(70, 800, "Annual Report of the Club")
        canvas.setFont("Helvetica", 11)
        canvas.drawString(70, 700, f"Sentence number {page} stands on its own page.")
        canvas.drawString(300, 40, str(page))
        canvas.showPage()
    canvas.save()

    document = read_pdf(buffer.getvalue())

    assert "Annual Report" not in document.text
    assert [text for _, _, text in outline(document)] == [
        "Sentence number 1 stands on its own page.",
        "Sentence number 2 stands on its own page.",
        "Sentence number 3 stands on its own page.",
        "Sentence number 4 stands on its own page.",
    ]


def test_a_word_broken_at_the_end_of_a_line_is_made_whole() -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.drawString(70, 700, "The colony has thou-")
    canvas.drawString(70, 686, "sands of workers.")
    canvas.save()

    assert read_pdf(buffer.getvalue()).text == "The colony has thousands of workers."


def test_a_pdf_without_text_is_refused_with_the_advice_to_recognise_it() -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(100, 100, 200, 200, fill=1)
    canvas.save()

    with pytest.raises(Unreadable) as refused:
        read_pdf(buffer.getvalue())

    assert refused.value.code == "source_without_text"
    assert "OCR" in refused.value.mend


def test_an_encrypted_pdf_is_refused() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_of([("BodyText", LONG)])))
    writer.encrypt("secret", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)

    with pytest.raises(Unreadable) as refused:
        read_pdf(buffer.getvalue())

    assert refused.value.code == "source_encrypted"
    assert "password" in refused.value.mend


@pytest.mark.parametrize("damage", ["head only", "half", "noise"])
def test_a_broken_pdf_is_refused(damage: str) -> None:
    whole = pdf_of([("BodyText", LONG)])
    content = {"head only": b"%PDF-1.4\n", "half": whole[: len(whole) // 3], "noise": b"%PDF-1.4\n" + bytes(range(256)) * 40}

    with pytest.raises(Unreadable) as refused:
        read_pdf(content[damage])

    assert refused.value.code in ("source_broken_pdf", "source_without_text")


def docx_of(fill: Any) -> bytes:
    document = docx.Document()
    fill(document)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def read_docx(content: bytes) -> SourceDocument:
    return read_source(content, FileToRead(file_name="paper.docx"))


def test_a_word_document_gives_its_headings_lists_and_tables() -> None:
    def fill(document: Any) -> None:
        document.core_properties.title = "The hive book"
        document.add_heading("Keeping bees", 0)
        document.add_heading("The queen", 2)
        document.add_paragraph("She lays the eggs.")
        document.add_paragraph("smoker", style="List Bullet")
        document.add_paragraph("spare frames", style="List Bullet 2")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(
            [*table.rows[0].cells, *table.rows[1].cells], ["Part", "Use", "Lid", "Keeps rain out"], strict=True
        ):
            cell.text = text

    document = read_docx(docx_of(fill))

    assert document.title == "The hive book"
    assert outline(document) == [
        ("heading", 1, "Keeping bees"),
        ("heading", 2, "The queen"),
        ("paragraph", 0, "She lays the eggs."),
        ("list_item", 1, "smoker"),
        ("list_item", 2, "spare frames"),
        ("table_row", 0, "Part | Use"),
        ("table_row", 0, "Lid | Keeps rain out"),
    ]


def test_a_word_document_that_is_cut_off_is_refused() -> None:
    whole = docx_of(lambda document: document.add_paragraph("text"))

    with pytest.raises(Unreadable) as refused:
        read_docx(whole[: len(whole) // 2])

    assert refused.value.code == "source_broken_docx"


def test_a_zip_that_is_no_word_document_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")

    with pytest.raises(Unreadable) as refused:
        read_docx(buffer.getvalue())

    assert refused.value.code == "source_broken_docx"


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"word/{number}.xml", b"\0" * (50 * 1024 * 1024))

    with pytest.raises(Unreadable) as refused:
        read_docx(buffer.getvalue())

    assert refused.value.code == "source_too_long"
