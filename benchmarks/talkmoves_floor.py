"""What talk moves come to without dialogue: words of the sentence alone, learned offline; and what others published."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier

from benchmarks.talkmoves_data import MOVES, Recording
from learners.paired import macro_f1, matthews

PUBLISHED: dict[str, object] = {
    "teacher": {"mcc": 0.709, "macro_f1": 0.613},
    "model": "RoBERTa-base, fine-tuned offline",
    "split": "the authors' 63 test lessons, which are no part of this recording",
    "source": "Suresh, Jacobs, Harty, Perkoff, Martin & Sumner, The TalkMoves Dataset, LREC 2022",
}


def bag_of_words(recording: Recording, seed: int) -> dict[str, dict[str, float]]:
    """MCC and macro F1 without none on the probe, by speaker: TF-IDF of words and pairs, logistic regression."""
    found: dict[str, dict[str, float]] = {}
    for speaker, task in MOVES.items():
        learn, probe = (
            [(one.input.payload.text, str(one.labels[task])) for one in part if task in one.labels]
            for part in (recording.learn, recording.probe)
        )
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"[\w']+|[?!]")
        classifier = SGDClassifier(loss="log_loss", alpha=2e-6, random_state=seed)
        classifier.fit(words.fit_transform(text for text, _ in learn), [label for _, label in learn])
        said = classifier.predict(words.transform(text for text, _ in probe))
        classes = sorted(set(classifier.classes_) | {label for _, label in probe}, key=lambda name: name != "none")
        table = np.zeros((len(classes), len(classes)))
        for (_, label), answer in zip(probe, said, strict=True):
            table[classes.index(label), classes.index(answer)] += 1
        found[speaker] = {"mcc": float(matthews(table)), "macro_f1": float(macro_f1(table, besides=0))}
    return found
