"""Walks end, whatever is answered, and keep only rows in order and under their column."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import RESPONSE, Pdu, VarBind
from collectors.snmp_poll.rows import names
from collectors.snmp_poll.walk import Walk, arcs
from tests.collectors.snmp_poll.agent import Agent, switch

DESCR, ALIAS, NAME = "1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.31.1.1.1.18", "1.3.6.1.2.1.31.1.1.1.1"

oids = st.one_of(
    st.builds(lambda i: f"{DESCR}.{i}", st.integers(0, 30)),
    st.builds(lambda i: f"{NAME}.{i}", st.integers(0, 30)),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12).map(
        lambda rest: "1.3." + ".".join(map(str, rest))
    ),
)
binds = st.builds(
    VarBind,
    oids,
    st.sampled_from([int(Tag.OCTET_STRING), int(Tag.INTEGER), int(Tag.END_OF_MIB_VIEW)]),
    st.one_of(st.none(), st.integers(), st.binary(max_size=5)),
)
answers = st.one_of(
    st.lists(binds, max_size=12).map(lambda told: Pdu(RESPONSE, 1, 0, 0, tuple(told))),
    st.builds(
        Pdu, st.just(RESPONSE), st.just(1), st.integers(1, 300), st.integers(-5, 9), st.just(())
    ),
    st.none(),  # a time-out
)


@given(st.lists(answers, min_size=1, max_size=5), st.booleans(), st.integers(1, 50))
@settings(max_examples=400)
def test_any_walk_ends_in_bounded_steps_with_rows_in_order(
    told: list[Pdu | None], bulk: bool, repetitions: int
) -> None:
    walk = Walk([DESCR, NAME, ALIAS], repetitions, 500, bulk)
    steps = silent = 0
    while walk.asking():
        answer = told[steps % len(told)]
        steps += 1
        silent = silent + 1 if answer is None else 0
        if answer is None:
            walk.timed_out()
            if silent > 2:
                walk.stop("timeout")
        elif answer.error_status:
            walk.refused(answer)
        else:
            walk.take(answer.varbinds)
        assert steps < 700, "the walk does not end"
        # A device that answers and is silent in turn is ended by the time allowed for a walk.
        if steps > 600 and None in told:
            walk.stop("the walk took too long")

    for rows in walk.result().columns.values():
        keys = [arcs(index) for index in rows]
        assert keys == sorted(set(keys))


def test_an_empty_answer_ends_the_walk_with_its_reason() -> None:
    walk = Walk([DESCR, NAME], 10, 500, True)
    walk.asking()

    walk.take(())

    assert walk.asking() == ()
    assert set(walk.result().errors.values()) == {"empty answer"}


def walked(agent: Agent, columns: list[str], bulk: bool = True, repetitions: int = 3) -> Walk:
    walk = Walk(columns, repetitions, 10_000, bulk)
    while asked := walk.asking():
        question = Pdu(
            0xA5 if bulk else 0xA1,
            1,
            0,
            walk.asking_repetitions if bulk else 0,
            tuple(VarBind(oid, 5, None) for oid in asked),
        )
        pdu = agent.truth(1 if bulk else 0, question)
        if pdu.error_status:
            walk.refused(pdu)
        else:
            walk.take(pdu.varbinds)
    return walk


def test_columns_of_different_length_are_all_walked_to_their_end() -> None:
    mib = switch(ports=7)
    del mib[f"{ALIAS}.3"]
    del mib[f"{ALIAS}.7"]

    for bulk in (True, False):
        result = walked(Agent(mib), [DESCR, ALIAS, NAME], bulk).result()

        assert not result.errors
        assert [len(result.columns[c]) for c in (DESCR, ALIAS, NAME)] == [7, 5, 7]
        assert list(result.columns[ALIAS]) == ["1", "2", "4", "5", "6"]


def test_the_last_column_of_the_device_ends_by_end_of_mib_view() -> None:
    mib = {f"{ALIAS}.{i}": (4, b"x") for i in range(1, 4)}

    assert not walked(Agent(mib), [ALIAS]).result().errors
    assert len(walked(Agent(mib), [ALIAS], bulk=False).result().columns[ALIAS]) == 3


def test_duplicate_names_are_made_unique_and_renumbering_changes_none() -> None:
    assert names(["1", "2", "3"], [["eth0", "eth0", ""], ["a", "b", "c"]]) == (
        "eth0",
        "eth0#2",
        "c",
    )
    assert names(["7", "9"], [["eth0", "eth0"]]) == names(["1", "2"], [["eth0", "eth0"]])
    assert names(["1", "2", "3"], [["a", "a#2", "a"]]) == ("a", "a#2", "a#3")
    assert names(["5"], []) == ("5",)
