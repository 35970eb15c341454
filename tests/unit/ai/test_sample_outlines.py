"""The samples through the gateway's own readers: the outline that their order shows, held fast."""

import pytest

from aif_ai.extractive.course import make_course
from aif_ai.extractive.quiz import make_quiz
from aif_contracts.documents import SourceDocument
from aif_kam.sources.html import read_html
from aif_kam.sources.markdown import read_markdown
from aif_kam.sources.plain_text import read_plain_text
from support.source_documents import SAMPLES

BEES = """\
The colony and its members: The colony and its members | The queen | The workers | The drones
The hive: The hive | Parts from bottom to top | Choosing a type
Preparing in winter: Learning and legal duties | The site | Equipment
Spring: the bees arrive: Nucleus or swarm | Feeding | The first inspections
Early summer: swarming: Early summer: swarming | Signs | Prevention | Control
Midsummer: nectar into honey: How honey is made | Taking the crop
Late summer: health: Varroa | Treatments | Brood diseases
Autumn: preparing for winter: Stores | Uniting weak colonies | Closing up
Winter: leaving them alone: Winter: leaving them alone
What a first year costs and teaches: What a first year costs and teaches"""
BREAD = """\
The ingredients: Flour | Water | Salt | Baker's percentages
The starter: The starter | Making one | Feeding and keeping | The levain
The dough: Mixing and autolyse | Bulk fermentation | Stretch and fold | Shaping | The final proof
Baking: What happens in the oven | Steam | Scoring | Cooling
Flavour and keeping: Two kinds of sour | Staling and storage
Reading the loaf: Reading the loaf | Underfermented or overfermented | Changing one thing at a time
A schedule for two days: A schedule for two days | What to do with the discard"""
NETWORKS = """\
What a network is: What a network is | Circuits and packets | Bandwidth, latency and loss | Protocols and layers
The link layer: Ethernet and frames | Switches | Wireless networks
The internet layer: IP addresses | From IP address to MAC address | Routing | NAT | How a host gets its address
The transport layer: Ports and sockets | UDP | TCP | QUIC
The application layer: DNS | HTTP | TLS
Firewalls and private tunnels: Firewalls and private tunnels
Finding faults: An order of questions | Tools | Three classic cases
A page is loaded: everything together: A page is loaded: everything together"""


def _sample(name: str) -> SourceDocument:
    text = (SAMPLES / name).read_text()
    readers = {"md": read_markdown, "html": read_html, "txt": read_plain_text}
    return readers[name.rsplit(".")[-1]](text, name)


@pytest.mark.parametrize(
    ("name", "outline", "opening"),
    [
        ("beekeeping.md", BEES, "This guide follows one colony of honey bees"),
        ("sourdough.html", BREAD, "Sourdough bread is bread that is raised by a culture"),
        ("network-basics.txt", NETWORKS, "This text explains how data moves between computers"),
    ],
)
def test_a_sample_becomes_this_course(name: str, outline: str, opening: str) -> None:
    document = _sample(name)

    course = make_course(document, level=3, audience="beginners", made_by="local", checkpoint=lambda: None)

    lines = [f"{m.title}: {' | '.join(lesson.title for lesson in m.lessons)}" for m in course.modules]
    assert "\n".join(lines) == outline
    assert course.description.startswith(opening)


@pytest.mark.parametrize("name", ["beekeeping.md", "sourdough.html", "network-basics.txt"])
def test_a_sample_has_facts_enough_for_a_long_quiz(name: str) -> None:
    quiz = make_quiz(_sample(name), question_count=20, audience="beginners", made_by="local", checkpoint=lambda: None)

    assert len(quiz.questions) == 20
    assert not any(question.question.startswith("Which word") for question in quiz.questions)
