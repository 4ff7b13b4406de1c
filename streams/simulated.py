"""Two invented schools, their students, and experts who are late, sometimes wrong and sometimes silent.

The same two tasks as the recorded lessons, so that one analyzer serves both. Nothing here was said by anybody:
``ce_source`` is ``simulated``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from itertools import count
from random import Random

from schemas.envelope import derive_id
from schemas.feedback import Feedback, Flag, FlagName, Judgement, Label, Rating, Retraction
from schemas.interaction import Interaction, Payload, SpeakerRole, Timing
from streams.schedule import START, Classroom, Judged, Play, Said, delay_s, play

SOURCE = "simulated"
LESSON = 60  # interactions of a lesson
MEDIAN_DELAY_S, SIGMA = 120.0, 1.0

# Shares of interactions.
UNLABELLED = 0.05
CONTRADICTED = 0.02  # a second expert, another class
RETRACTED = 0.02
FLAGGED = 0.04
RATED = 0.05
LATE_INTERACTION = 0.01  # arrives after its own feedback
STRAY = 0.005  # feedback on an interaction that nobody ever sends
# Shares of labels.
MISTAKEN = 0.08  # of a careful expert's
CARELESS_MISTAKEN = 0.5
CARELESS_SHARE = 0.1  # given by the careless one

CAREFUL, CARELESS = ("expert-1", "expert-2", "expert-3", "expert-4"), "expert-5"
SCHOOLS = ("school-a", "school-b")
NAMES = ("Ada", "Ben", "Carla", "Deniz", "Elif", "Finn", "Grace", "Hugo", "Ines", "Jonas", "Kemal", "Lena")
THINGS = ("apples", "tiles", "marbles", "cookies", "squares", "pencils")
IDEAS = ("equal groups", "area", "the array", "fractions", "the common factor", "place value")
FLAGS: dict[str, FlagName] = {"press_for_reasoning": "exemplary", "providing_evidence_reasoning": "breakthrough"}

TEACHER_MOVES = {
    "none": 0.28, "keep_everyone_together": 0.14, "getting_students_to_relate": 0.12, "restating": 0.1,
    "revoicing": 0.1, "press_for_accuracy": 0.14, "press_for_reasoning": 0.12,
}  # fmt: skip
ANSWERS = {  # what students tend to do next, by what the teacher did
    "none": {"none": 0.5, "asking_for_more_info": 0.3, "making_a_claim": 0.2},
    "keep_everyone_together": {"none": 0.7, "asking_for_more_info": 0.3},
    "getting_students_to_relate": {"relating_to_another_student": 0.85, "making_a_claim": 0.15},
    "restating": {"none": 0.3, "providing_evidence_reasoning": 0.3, "relating_to_another_student": 0.4},
    "revoicing": {"none": 0.5, "providing_evidence_reasoning": 0.5},
    "press_for_accuracy": {"making_a_claim": 0.85, "asking_for_more_info": 0.15},
    "press_for_reasoning": {"providing_evidence_reasoning": 0.8, "making_a_claim": 0.2},
}
CONTENT = ("making_a_claim", "providing_evidence_reasoning")
ECHOES = ("restating", "revoicing")  # only after a student has said something of content

Phrases = Mapping[str, Mapping[str, Sequence[str]]]
PHRASES: Mapping[str, Phrases] = tomllib.loads(files("streams").joinpath("phrases.toml").read_text("utf-8"))


def simulate(
    seed: int, events: int, *, in_flight: int = 6, start: datetime = START, tenant: str = "default"
) -> Iterator[Classroom]:
    """``events`` interactions of two schools and all feedback on them, in the order of arrival.

    The same arguments give the same events. School B changes its way of speaking in the middle. Labels are right as
    often as the shares above say; a few feedbacks come before their interaction and a few never meet one.
    """
    lessons = (_lesson(seed, number, changed=2 * number * LESSON >= events) for number in count())
    return play(lessons, Play(seed, in_flight, start, tenant, SOURCE), events)


@dataclass(frozen=True, slots=True)
class _Utterance:
    role: SpeakerRole
    move: str
    text: str
    gap_s: float

    @property
    def task(self) -> str:
        return f"{self.role}_move"


def _lesson(seed: int, number: int, *, changed: bool) -> Iterator[Said]:
    random = Random(f"{seed}/{number}")
    school = SCHOOLS[number % len(SCHOOLS)]
    session = f"simulated-{seed}-{school}-{number:04d}"
    way = "plain" if school == SCHOOLS[0] else "online" if changed else "firm"
    at_s = 0.0
    for position, said in enumerate(_dialogue(random, PHRASES[way])):
        duration_s = len(said.text.split()) / 2.5
        at_s += said.gap_s
        interaction = Interaction(
            session=session,
            role=said.role,
            learner=f"{school}-student-{random.randint(1, 24):02d}" if said.role == "student" else None,
            group=school,
            payload=Payload(text=said.text),
            timing=Timing(at_s=round(at_s, 3), duration_s=round(duration_s, 3), gap_s=round(said.gap_s, 3)),
            age=float(random.choice((11, 12, 13))) if said.role == "student" else None,
            grade="7",
            subject="mathematics",
            language="en",
        )
        id_ = f"{session}-{position}"
        late = random.random() < LATE_INTERACTION
        judged = tuple(_judgements(random, seed, session, id_, said, hasty=late))
        yield Said(id_, at_s, interaction, judged, lag_s=90.0 if late else 0.0)
        at_s += duration_s


def _dialogue(random: Random, phrases: Phrases) -> Iterator[_Utterance]:
    """Teacher and students in turn; what a student said is echoed only by the moves that echo."""
    said, move = "", "none"
    for position in range(LESSON):
        slots = _slots(random) | {"said": said}
        if position % 2 == 0:
            weights = TEACHER_MOVES if said else {m: w for m, w in TEACHER_MOVES.items() if m not in ECHOES}
            move = _draw(random, weights)
            yield _speak(random, "teacher", move, phrases, slots)
        else:
            student = _speak(random, "student", _draw(random, ANSWERS[move]), phrases, slots)
            said = _echo(student.text) if student.move in CONTENT else ""
            yield student


def _echo(text: str) -> str:
    """``text`` as another sentence can take it in."""
    return text.rstrip(".") if text.startswith("I ") else text[0].lower() + text[1:].rstrip(".")


def _speak(random: Random, role: SpeakerRole, move: str, phrases: Phrases, slots: Mapping[str, str]) -> _Utterance:
    text = random.choice(phrases[f"{role}_move"][move]).format_map(slots)
    return _Utterance(role, move, text[0].upper() + text[1:], random.expovariate(1 / 2.0))


def _slots(random: Random) -> dict[str, str]:
    n, m = random.randint(2, 12), random.randint(2, 12)
    return {
        "name": random.choice(NAMES), "thing": random.choice(THINGS), "idea": random.choice(IDEAS),
        "n": str(n), "m": str(m), "p": str(n * m),
    }  # fmt: skip


def _judgements(
    random: Random, seed: int, session: str, id_: str, said: _Utterance, *, hasty: bool
) -> Iterator[Judged]:
    """What experts say of ``said``; ``hasty`` ones label before the interaction itself has arrived."""
    rater = CARELESS if random.random() < CARELESS_SHARE else random.choice(CAREFUL)
    others = [class_ for class_ in PHRASES["plain"][said.task] if class_ != said.move]

    def judge(rater: str, judgement: Judgement, *kind: str, after_s: float = 0.0, of: str = id_) -> Judged:
        id_of = derive_id("feedback", of, rater, *kind)
        wait_s = 30.0 if hasty else delay_s(seed, id_of, MEDIAN_DELAY_S, SIGMA)
        return Judged(
            id_of, after_s + wait_s, Feedback(session=session, interaction=of, rater=rater, judgement=judgement)
        )

    def label(rater: str, class_: str, of: str = id_) -> Judged:
        return judge(rater, Label(kind="label", task=said.task, value=class_), said.task, of=of)

    if random.random() >= UNLABELLED:
        wrong = random.random() < (CARELESS_MISTAKEN if rater == CARELESS else MISTAKEN)
        given = random.choice(others) if wrong else said.move
        first = label(rater, given)
        yield first
        if random.random() < CONTRADICTED:
            another = random.choice([name for name in CAREFUL if name != rater])
            yield label(another, random.choice([class_ for class_ in (*others, said.move) if class_ != given]))
        if random.random() < RETRACTED:
            yield judge(rater, Retraction(kind="retraction", feedback=first.id), "retraction", after_s=first.delay_s)
    if random.random() < FLAGGED:
        name = FLAGS.get(said.move, "perfect_wait_time")
        yield judge(rater, Flag(kind="flag", name=name), "flag", name)
    if random.random() < RATED:
        yield judge(rater, Rating(kind="rating", value=random.choice((2, 3, 4, 4, 5))), "rating")
    if random.random() < STRAY:
        yield label(rater, said.move, of=f"{id_}-never-sent")


def _draw(random: Random, weights: Mapping[str, float]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]
