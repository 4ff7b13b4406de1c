"""The parts of the published document that are written for people: how to produce, read and apply what flows."""

from __future__ import annotations

INFO = """\
Classroom apps stream interactions, experts stream feedback; one model learns from them step by step while it serves;
every improvement leaves as an event.

**Events.** CloudEvents 1.0 in Kafka's binary mode: each attribute is a header, UTF-8, with the prefix `ce_`; the
record's value is the data alone. `ce_type` ends in the major version. `ce_dataschema` is
`urn:currere:schema:NAME:MAJOR.MINOR`; a minor version only adds optional fields. Readers keep fields that they do not
know and pass them on. Values have at most 900,000 bytes, attributes at most 512 characters; numbers are finite.

**Time.** `ce_time` is event time and may be years ago. The record's timestamp is when the log received it.

**Once.** Delivery is at least once. The first record of a `ce_id` in a topic wins; a repetition is dropped, and one
with other content becomes a dead letter. A producer that is not sure sends the same id and the same bytes again.

**Order.** Only within a partition. Feedback may come weeks after its interaction, or before it.

**What goes wrong.** A record that cannot be used is copied to `TOPIC.dlq` with the reason. One that can be used but
leads nowhere (expired, repeated, without consent) leaves an `edu.fate.v1`. A dead letter that an operator sent again or
gave up has an `edu.resolution.v1`; one without it is open.
"""

SAFETENSORS_VALUE = """\
A safetensors file: eight bytes n (unsigned, little-endian), n bytes of JSON header, then the tensors' bytes,
little-endian, row-major. Header entry NAME is `{{"dtype", "shape", "data_offsets": [begin, end]}}`, counted from the
end of the header. The manifest, a JSON text of the schema {model}, is the string under `__metadata__`.`manifest`; it
can be read without loading a tensor.
"""

CHECKPOINT = """\
**A checkpoint** is a claim check: the snapshot lies at `uri`, `size` bytes with the SHA-256 `sha256` (hex). It is a
safetensors file; its manifest, a JSON text under `__metadata__`.`manifest`, repeats `lineage`, `next_offset` and
`digest` and holds the `settings`. Every tensor `served/NAME` (F16) is one served array. Where there is a tensor
`NAME.rows` (I32 `[k]`, rising), the array is a table of `settings.buckets` rows: row `NAME.rows[i]` is `served/NAME[i]`
and all other rows are zero. Other tensors are for folding on and may be ignored.

The **digest** (hex) is over all served arrays, in the order of their names (by code point): SHA-256 of, for each array,
the line `NAME <f2 SHAPE` and a line feed, then for each 4,096 rows (of the first axis; the last block may be shorter)
the 16 bytes of the XXH3-128 of their bytes (canonical, that is big-endian). SHAPE is `(n,)` or `(n, m)`. Tables count
with all `settings.buckets` rows.
"""

DELTA = """\
**A delta** carries every entry of the served model that changed in the train log's range [a, b), with its value *at b*.
Values, not differences: to apply is to assign, and to apply twice is harmless.

Tensors, for each served array NAME: either `NAME.rows` (I32 `[k]`, row numbers) with `NAME.values` (F16 `[k, m]`, the
new rows), or `NAME` alone (F16, the whole array). An array that is absent did not change. A large delta is cut into
`parts`; each holds some arrays, or some rows of one.

A subscriber keeps its arrays, their `lineage` and an `offset`, which is the `b` of what it applied last, or
`next_offset` of the checkpoint that it began with. Versions are written `lineage:offset`. For each delta:

1. of another lineage: skip it, unless a release named that lineage; then begin with that lineage's newest checkpoint;
2. `b <= offset`: skip it, it is already in;
3. `a > offset`: there is a gap; fetch the newest checkpoint whose `next_offset >= a`, begin there, go on;
4. otherwise (`a <= offset < b`) keep the part; when all `parts` (numbered by `part` from 0) with the same lineage, a
   and b are there, assign them to a copy of the arrays, compare the copy's digest with `digest`, swap the copy in, and
   set `offset = b`. If the digest differs, drop the copy, keep serving the old arrays and begin with a checkpoint.

Never apply a part alone: between two parts the model is neither the old nor the new one. The digest is told with
checkpoints (`edu.checkpoint.v1`).
"""
