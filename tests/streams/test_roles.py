"""Every role's place in the stream is written once, and agrees with the published documents."""

from __future__ import annotations

import pytest

from schemas import topics
from schemas.asyncapi import flow
from schemas.topics import BY_NAME, dlq
from streams.roles import ROLES, Role

EVERY_ROLE = pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)


@EVERY_ROLE
def test_a_role_s_inputs_have_one_partition_count(role: Role) -> None:
    assert len({topic.per_session for topic in role.reads}) == 1


@EVERY_ROLE
def test_a_role_writes_the_dead_letters_of_what_it_reads(role: Role) -> None:
    assert {dlq(topic).name for topic in role.reads} <= set(role.outputs)
    assert set(role.outputs) == {topic.name for topic in role.writes} | {dlq(topic).name for topic in role.reads}


@EVERY_ROLE
def test_a_role_s_topics_exist(role: Role) -> None:
    assert {*role.inputs, *role.outputs} <= set(BY_NAME)


@EVERY_ROLE
def test_the_published_documents_name_the_role_as_reader_and_writer(role: Role) -> None:
    for topic in role.reads:
        assert role.name in flow(topic)[1]
    for topic in (*role.writes, *map(dlq, role.reads)):
        assert role.name in flow(topic)[0]


def test_no_input_is_read_by_two_roles_that_decide_it() -> None:
    read = [topic.name for role in ROLES.values() for topic in role.reads]
    assert len(set(read)) == len(read)
    assert set(read) == {topic.name for topic in topics.INPUTS}
