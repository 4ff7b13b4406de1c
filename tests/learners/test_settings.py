from __future__ import annotations

import json
import math

import pytest

from learners.settings import LearningSettings
from schemas.errors import ConfigurationError
from tests.learners.cases import SMALL


@pytest.mark.parametrize("settings", [SMALL, LearningSettings()])
def test_settings_survive_their_way_through_the_genesis_record(settings: LearningSettings):
    assert LearningSettings.from_dict(settings.to_dict()) == settings


def test_what_is_absent_has_its_default():
    assert LearningSettings.from_dict({"dim": 16}) == LearningSettings(dim=16)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"buckets": 5000}, "buckets"),
        ({"dim": 0}, "dim"),
        ({"dim": 1.5}, "dim"),
        ({"dim": "8"}, "dim"),
        ({"embed_rate": 0}, "embed_rate"),
        ({"average_decay": 1}, "average_decay"),
        ({"group_rates": {}}, "group"),
        ({"group_rates": {"move": "fast"}}, "group_rates"),
        ({"tasks": "moves"}, "task"),
        ({"replay": "ewc"}, "replay"),
        ({"replay": 1}, "replay"),
        ({"schedule": "hourly"}, "schedule"),
        ({"encoder": "bert"}, "encoder"),
        ({"modality_dropout": 1.0}, "modality_dropout"),
        ({"wait_low_s": 8}, "wait_low_s"),
        ({"wait_low_s": 0}, "wait_low_s"),
        ({"embed_rate": math.nan}, "embed_rate"),
        ({"dim": math.inf}, "dim"),
        ({"group_rates": {"move": -1.0}}, "group_rates"),
        ({"ewc_weight": -1}, "ewc_weight"),
        ({"guidance_limit": -0.5}, "guidance_limit"),
    ],
)
def test_a_setting_that_cannot_be_is_an_error_that_names_it(wrong: dict[str, object], named: str):
    with pytest.raises(ConfigurationError, match=named):
        LearningSettings.from_dict(wrong)


def test_equal_settings_are_written_as_the_same_bytes_however_they_were_read() -> None:
    settings = LearningSettings()
    read = LearningSettings.from_dict(json.loads(json.dumps(settings.to_dict(), sort_keys=True)))
    assert json.dumps(read.to_dict()) == json.dumps(settings.to_dict())
