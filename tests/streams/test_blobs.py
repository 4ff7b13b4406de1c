"""A blob is there whole and unchanged, or it is not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigurationError
from streams.blobs import Blobs, BlobUnavailable

CONTENT = b"weights" * 100
PATH = "oakfield/default/lineage/3.safetensors"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_what_was_put_is_got(blobs: Blobs, content: bytes) -> None:
    uri = blobs.put(PATH, content)
    assert blobs.get(uri, len(content), sha(content)) == content


def test_a_uri_names_its_store_and_path(blobs: Blobs) -> None:
    assert blobs.put(PATH, CONTENT) == f"{blobs.url}/{PATH}"


def test_another_process_finds_it(blobs: Blobs) -> None:
    uri = blobs.put(PATH, CONTENT)
    assert Blobs(f"{blobs.url}/").get(uri, len(CONTENT), sha(CONTENT)) == CONTENT


def test_a_later_put_replaces(blobs: Blobs) -> None:
    blobs.put(PATH, b"before")
    uri = blobs.put(PATH, CONTENT)
    assert blobs.get(uri, len(CONTENT), sha(CONTENT)) == CONTENT


def test_a_name_may_hold_any_character(blobs: Blobs) -> None:
    uri = blobs.put("oakfield/räume & größen/#1 50%/3.safetensors", CONTENT)
    assert blobs.get(uri, len(CONTENT), sha(CONTENT)) == CONTENT


def test_what_is_absent_is_unavailable(blobs: Blobs) -> None:
    with pytest.raises(BlobUnavailable):
        blobs.get(f"{blobs.url}/nowhere", 1, sha(b"x"))


def test_the_size_is_of_what_lies_there_and_of_this_store_alone(blobs: Blobs) -> None:
    assert blobs.size(blobs.put(PATH, CONTENT)) == len(CONTENT)
    assert blobs.size(f"{blobs.url}/nowhere") is None
    assert blobs.size(f"file:///elsewhere/{PATH}") is None


@pytest.mark.parametrize("torn", [CONTENT[:-1], CONTENT + b"x", b"", b"W" + CONTENT[1:]])
def test_a_torn_or_changed_blob_is_unavailable(blobs: Blobs, tmp_path: Path, torn: bytes) -> None:
    uri = blobs.put(PATH, CONTENT)
    (tmp_path / PATH).write_bytes(torn)
    with pytest.raises(BlobUnavailable, match=r"bytes|sha256"):
        blobs.get(uri, len(CONTENT), sha(CONTENT))


@pytest.mark.parametrize("uri", ["file:///elsewhere/x", "s3://bucket/x", "", "../x"])
def test_a_uri_of_another_store_is_refused(blobs: Blobs, uri: str) -> None:
    with pytest.raises(BlobUnavailable, match="blobs"):
        blobs.get(uri, 1, sha(b"x"))


def test_a_uri_cannot_leave_the_store(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    inside = Blobs(f"file://{tmp_path}/blobs")
    with pytest.raises(BlobUnavailable):
        inside.get(f"{inside.url}/../secret", len(CONTENT), sha(CONTENT))


def test_a_store_that_does_not_take_a_blob_says_so(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "oakfield").write_bytes(b"a file where a folder should be")
    with pytest.raises(BlobUnavailable, match="was not stored"):
        blobs.put(PATH, CONTENT)


def test_a_removed_blob_is_gone_and_may_be_removed_again(blobs: Blobs) -> None:
    uri = blobs.put(PATH, CONTENT)
    blobs.delete(uri)
    with pytest.raises(BlobUnavailable):
        blobs.get(uri, len(CONTENT), sha(CONTENT))
    blobs.delete(uri)


@pytest.mark.parametrize("url", ["http://x/y", "blobs", "", "ftp://x"])
def test_other_kinds_of_store_are_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="file://DIR or s3://"):
        Blobs(url)


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="folder"):
        Blobs(f"file://{tmp_path}/file/blobs")


def test_who_looks_sees_what_lies_there_whatever_it_is_and_nothing_where_nothing_is(blobs: Blobs) -> None:
    uri = blobs.put(PATH, CONTENT)
    assert blobs.look(uri) == CONTENT
    assert blobs.look(f"{blobs.url}/another/1.safetensors") is None
    assert blobs.look("s3://elsewhere/1.safetensors") is None


def test_a_store_that_cannot_be_read_is_not_taken_for_an_empty_one(blobs: Blobs) -> None:
    with pytest.raises(BlobUnavailable):
        blobs.look(f"{blobs.url}/../outside")
