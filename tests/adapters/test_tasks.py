"""Answers to tasks other than verification."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._answers import parse_reply
from adapters._tasks import parse_timestamp
from sidecar.errors import (
    AnswerError,
    DegenerateAnswer,
    EmptyAnswer,
    RefusedAnswer,
    TruncatedAnswer,
    UnparsableAnswer,
)
from sidecar.model import AnswerRules, AnswerShape, Box, ChatReply, Interval, Point

EVENT = '{"start": "00:00.10", "end": "00:05.70", "caption": "A car stops."}'
STOPS = Interval(0.1, 5.7, "A car stops.")


def parse_timeline(reply):
    return parse_reply(reply, AnswerRules(shape=AnswerShape.TIMELINE)).timeline


def parse_boxes(reply):
    return parse_reply(reply, AnswerRules(shape=AnswerShape.BOXES)).boxes


def parse_points(reply):
    return parse_reply(reply, AnswerRules(shape=AnswerShape.POINTS)).points


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("00:00.10", 0.1),
        ("00:00.100", 0.1),
        ("00:13.3", 13.3),
        ("01:02", 62.0),
        ("1:2", 62.0),
        ("90:00", 5400.0),
        ("1:00:05.70", 3605.7),
        ("01:02:03", 3723.0),
        ("12.5", 12.5),
        ("12.5s", 12.5),
        ("3 seconds", 3.0),
        (" 7 ", 7.0),
        (2.7, 2.7),
        ("<5.0 seconds>", 5.0),
        ("5 Seconds.", 5.0),
        ("[00:05]", 5.0),
        ("00:00:05,200", 5.2),
        ("\uff10\uff10\uff1a\uff10\uff15", 5.0),
        (0, 0.0),
    ],
)
def test_times_become_seconds(value, expected):
    """Every way in which the models write a time gives seconds."""
    assert parse_timestamp(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "-1", "00:60", "1:75:00", "00:00.1000", "1:2:3:4", "0x1", "1_0"),
        *(-0.5, float("nan"), float("inf"), True, None, [1], 10**400),
    ],
)
def test_what_is_no_time_is_an_error(value):
    """Times that no clock shows are refused."""
    with pytest.raises(UnparsableAnswer):
        parse_timestamp(value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(f"```json\n[{EVENT}]\n```", (STOPS,), id="fenced-array"),
        pytest.param(f"```json\n[{EVENT}]", (STOPS,), id="fence-never-closed"),
        pytest.param(EVENT, (STOPS,), id="single-object"),
        pytest.param(f'{{"events": [{EVENT}]}}', (STOPS,), id="wrapped"),
        pytest.param(f"<think>[1]</think>\n\n[{EVENT},]", (STOPS,), id="trailing-comma"),
        pytest.param(f"[{EVENT}, ...]", (STOPS,), id="ellipsis"),
        pytest.param(f"Here is the timeline:\n[{EVENT}]\nDone.", (STOPS,), id="prose-around"),
        pytest.param(
            '[{"start": 0.1, "end": 2.7, "caption": "a"}, {"start": 2.7, "end": 4}]',
            (Interval(0.1, 2.7, "a"), Interval(2.7, 4.0)),
            id="seconds",
        ),
        pytest.param(
            "[{'start_time': '00:01', 'end_time': '00:02', 'description': None}]",
            (Interval(1.0, 2.0),),
            id="python-literals-and-drifting-keys",
        ),
        pytest.param(
            '{"start": "00:13.30", "end": "00:23.40"}', (Interval(13.3, 23.4),), id="query"
        ),
        pytest.param("[]", (), id="nothing-happens"),
    ],
)
def test_timelines(content, expected):
    """Timelines are read from arrays and single objects, fenced or not."""
    assert parse_timeline(ChatReply(content)) == expected


def test_a_timeline_in_the_reasoning_field_is_found():
    """A server with a reasoning parser leaves the content null."""
    assert parse_timeline(ChatReply(None, reasoning=f"[{EVENT}]")) == (STOPS,)


@pytest.mark.parametrize(
    ("content", "finish_reason", "expected"),
    [
        pytest.param(f"Example:\n[{EVENT}]", "stop", UnparsableAnswer, id="example"),
        pytest.param(f"[{EVENT}]\nI cannot see the video.", "stop", RefusedAnswer, id="refused"),
        pytest.param("", "stop", EmptyAnswer, id="empty"),
        pytest.param(f"[{EVENT}]", "length", TruncatedAnswer, id="cut"),
        pytest.param(f"[{EVENT}, {{", "stop", TruncatedAnswer, id="open"),
        pytest.param(f"<think>[{EVENT}]", "stop", TruncatedAnswer, id="in-thought"),
        pytest.param("Between 00:05 and 00:17.", "stop", UnparsableAnswer, id="prose"),
        pytest.param("[1, 2]", "stop", UnparsableAnswer, id="no-objects"),
        pytest.param(f"[{EVENT}] [{EVENT}]", "stop", UnparsableAnswer, id="two-lists"),
        pytest.param(f'[{EVENT}] {{"a": 1}}', "stop", UnparsableAnswer, id="odd-object"),
        pytest.param('{"events": [{}], "more": [{}]}', "stop", UnparsableAnswer, id="two-inside"),
        pytest.param(f"[{', '.join([EVENT] * 9)}]", "stop", DegenerateAnswer, id="loop"),
        pytest.param('[{"start": "00:01"}]', "stop", UnparsableAnswer, id="no-end"),
        pytest.param('[{"start": 2, "end": 1}]', "stop", UnparsableAnswer, id="backwards"),
        pytest.param("[" * 5000 + "]" * 5000, "stop", UnparsableAnswer, id="deep"),
        pytest.param("[{]" * 4000 + "}" * 4000, "stop", UnparsableAnswer, id="long-broken"),
    ],
)
def test_what_is_no_timeline_is_an_error(content, finish_reason, expected):
    """A timeline that is not whole and clear is an error of the right kind."""
    with pytest.raises(expected) as caught:
        parse_timeline(ChatReply(content, finish_reason=finish_reason))

    assert type(caught.value) is expected
    assert caught.value.detail


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("[100, 200, 300, 400]", Box(0.1, 0.2, 0.3, 0.4, "person")),
        ("[300, 400, 100, 200]", Box(0.1, 0.2, 0.3, 0.4, "person")),
        ("[0, 0, 1000, 1000.0]", Box(0.0, 0.0, 1.0, 1.0, "person")),
        ("[-20, 200, 1920, 400]", Box(0.0, 0.2, 1.0, 0.4, "person", is_clipped=True)),
    ],
)
def test_boxes(numbers, expected):
    """Boxes are scaled to 0..1, put in order, and clipped with a mark."""
    content = f'```json\n[{{"bbox_2d": {numbers}, "label": "person"}}]\n```'

    assert parse_boxes(ChatReply(content)) == (expected,)


def test_points():
    """A trajectory is points in their order, scaled to 0..1."""
    content = '[{"point_2d": [412, 388], "label": "gripper trajectory"}, {"point_2d": [1200, 500]}]'

    assert parse_points(ChatReply(content)) == (
        Point(0.412, 0.388, "gripper trajectory"),
        Point(1.0, 0.5, is_clipped=True),
    )


@pytest.mark.parametrize(
    "numbers",
    [
        *("[1, 2, 3]", "[1, 2, 3, null]", '"1,2,3,4"', "[1, 2, 3, true]", "[1, 2, 3, 1e999]"),
        # shares of the picture, and pixels of a large one
        *("[0.1, 0.2, 0.3, 0.4]", "[1920, 1080, 2000, 1100]"),
    ],
)
def test_what_is_no_box_is_an_error(numbers):
    """A box has four finite numbers from 0 to 1000, and some of it lies in the picture."""
    with pytest.raises(UnparsableAnswer):
        parse_boxes(ChatReply(f'[{{"bbox_2d": {numbers}}}]'))


PIECES = st.sampled_from([EVENT, "[", "]", "{", "}", ",", "...", "```", '"start": ', "1e999", "'"])


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join)))
@pytest.mark.parametrize("parse", [parse_timeline, parse_boxes, parse_points])
def test_tasks_end_in_values_or_an_answer_error(parse, content):
    """Whatever a model writes, the parsers raise nothing but AnswerError."""
    try:
        found = parse(ChatReply(content))
    except AnswerError:
        return

    assert isinstance(found, tuple)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"[{EVENT}]", None),
        (f'{{"verdict": "yes", "events": [{EVENT}]}}', True),
        (f'{{"verdict": "no"}}\n[{EVENT}]', False),
        (f'[{EVENT}]\n{{"detected": true}}', True),
        (EVENT[:-1] + ', "verdict": "no"}', False),
    ],
)
def test_a_verdict_around_or_beside_the_list_counts(content, expected):
    """A list has no verdict of its own; an object around or beside it may hold one."""
    finding = parse_reply(ChatReply(content), AnswerRules(shape=AnswerShape.TIMELINE))

    assert finding.timeline == (STOPS,)
    assert finding.confirmed is expected


def test_a_required_verdict_field_has_to_be_there():
    """With a `verdict_field`, a list alone is not enough."""
    rules = AnswerRules(shape=AnswerShape.TIMELINE, verdict_field="verdict")

    with pytest.raises(UnparsableAnswer, match="'verdict'"):
        parse_reply(ChatReply(f"[{EVENT}]"), rules)
