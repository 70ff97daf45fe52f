"""One device: what was learnt of it, and how a look at it goes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from collectors.snmp_poll.engine import Session, Values, Walked
from collectors.snmp_poll.look import Learnt, LookPlan, batch_of, note_absent, together, wanted
from collectors.snmp_poll.rows import facts, learn
from collectors.snmp_poll.settings import SnmpPollSettings, Target
from collectors.snmp_poll.squad import Asked
from collectors.snmp_poll.stale import (
    ABSENT,
    NOT_LEARNT,
    RESTART,
    TOO_OFTEN,
    WATCH,
    distrust,
    distrust_rows,
    restarted,
    stale,
    uptime_after,
    uptime_of,
)
from collectors.snmp_poll.tables import TableSpec
from collectors.snmp_poll.uptime import Life
from collectors.snmp_poll.walk import next_repetitions
from netopsd.core.model import Batch, Blind, Kind
from netopsd.errors import CannotLook
from netopsd.ports import Clock

GROW_AFTER = 20  # looks without trouble before packets become larger again
CHANGES_S = 600.0  # walks asked for by changes are counted over so long
IN_VAIN = 2  # sweeps in a row that named us, and we are looked at by ourselves until the next walk
RETRY_WALK_S = 60.0  # a walk that was cut short is tried again so soon
ENOUGH_CUTS = 3  # walks in a row that were cut short: it will not get better, some rows are enough
UNFINISHED = frozenset({"timeout", "the walk took too long", "malformed answer"})


class Device:
    """The state of one target. `look` is called by one at a time."""

    def __init__(
        self,
        target: Target,
        tables: Mapping[str, TableSpec],
        settings: SnmpPollSettings,
        session: Session,
        clock: Clock,
    ) -> None:
        self.target = target
        self.tables = {name: tables[name] for name in target.tables if name in tables}
        self.session = session
        self.lock = asyncio.Lock()
        self._settings = settings
        self._clock = clock
        self._learnt = {
            name: Learnt(spec, repetitions=settings.max_repetitions)
            for name, spec in self.tables.items()
        }
        self._silent = True  # not heard yet: one cheap question before anything else
        self._facts: dict[str, str] = {}
        self._lacking: dict[str, str] = {}  # errors of the facts, and tables without an answer
        self._absent: dict[str, str] = {}  # scalars the device does not have, by OID
        self._plans: dict[tuple[str, ...], LookPlan] = {}
        self._former: dict[tuple[str, ...], LookPlan] = {}  # the latest, in force or not
        self._unsure = True  # what squads know of us may be out of date
        self._most = settings.oids_per_packet
        self._clean = 0
        self._changes: list[float] = []
        self.life = Life()
        self._refused = 0  # sweeps in a row that we did not fit into, since the rows were learnt
        # Devices started together are not to walk together for ever.
        self._phase = 0.9 + 0.2 * (zlib.crc32(target.name.encode()) / 2**32)

    async def look(self) -> Batch:
        """Return one look. Raises CannotLook where the device told nothing."""
        began = self._clock.mono_s()
        self._unsure = True
        due = [t for t in self._learnt.values() if self._is_due(t, began)]
        if self._silent:
            await self.session.probe()
        try:
            await self._learn_due(due, began)
            plan, values = await self._read(due)
        except CannotLook as blind:
            if self._silent and blind.why is Blind.UNREACHABLE:
                # It answers a small question but not ours: perhaps they, or the answers, are big.
                self._be_smaller()
            self._silent = blind.why is Blind.UNREACHABLE
            raise
        self._silent = False
        for learnt in due:
            following = learnt.due_s + learnt.spec.every  # in step, unless that is long ago
            learnt.due_s = following if following > began else began + learnt.spec.every
        told = (self._facts, self._lacking)
        return batch_of(self.target.name, plan, values, told, self._clock.mono_s() - began)

    def _is_due(self, learnt: Learnt, now: float) -> bool:
        return not learnt.spec.every or now + self.target.interval_s / 2 >= learnt.due_s

    async def _learn_due(self, due: list[Learnt], now: float) -> None:
        rewalk_s = self._settings.rewalk_s * self._phase
        for learnt in due:
            if now - learnt.walked_s >= rewalk_s:
                learnt.idle_walks = 0
                await self._walk(learnt, learnt.doubt)

    async def _walk(self, learnt: Learnt, doubt: bool = False) -> bool | None:
        """Learn the rows anew; return whether they are other than before.

        A walk that is cut short is tried again soon, and changes nothing (None): which rows are
        missing is not known. But for where nothing is known anyway; and where the rows known are
        in `doubt` and no walk comes to its end, those that could be learnt are better than none.
        """
        spec = learnt.spec
        columns = list(spec.texts if spec.scalar else spec.walked)
        v1 = self.target.credentials.version == "1"
        if v1 and not spec.scalar:  # a GET of what is absent fails as a whole: know beforehand
            columns += [
                c for c in spec.numbers if c not in columns and c.kind is not Kind.COUNTER64
            ]
        now = self._clock.mono_s()
        if not columns:
            learnt.walked_s = now
            return False
        repetitions = 2 if spec.scalar else learnt.repetitions
        try:
            walked = await self.session.walk([c.oid for c in columns], repetitions)
        except CannotLook:
            learnt.repetitions = max(1, learnt.repetitions // 4)
            raise
        learnt.walked_s = now
        self._refused = 0
        self._plans.clear()
        if spec.scalar:
            learnt.fresh = True
            return self._keep_facts(learnt, walked)
        most = self._settings.max_repetitions
        learnt.repetitions = next_repetitions(walked.repetitions, repetitions, most)
        before = learnt.rows
        rows = learn(spec, walked, self._settings.text_octets, self._settings.table_rows)
        cut = not UNFINISHED.isdisjoint(rows.errors.values())
        learnt.cuts = learnt.cuts + 1 if cut else 0
        if cut:
            learnt.walked_s = now - self._settings.rewalk_s * self._phase + RETRY_WALK_S
            if before is not None and not (doubt and learnt.cuts >= ENOUGH_CUTS):
                return None
        learnt.rows, learnt.fresh, learnt.absent, learnt.doubt = rows, True, {}, False
        if v1:
            learnt.absent = {
                (c.name, index): "noSuchName"
                for c in spec.numbers
                if c.oid in walked.columns and c.oid not in walked.errors
                for index in rows.index
                if index not in walked.columns[c.oid]
            }
        return before is None or (before.index, before.names) != (rows.index, rows.names)

    def _keep_facts(self, learnt: Learnt, walked: Walked) -> bool:
        told, errors = facts(learnt.spec, walked, self._settings.text_octets)
        name = learnt.spec.name
        # New mappings: batches already made keep theirs.
        if told.items() - self._facts.items():
            self._facts = {**self._facts, **told}
        kept = {k: v for k, v in self._lacking.items() if not k.startswith(name + ".")}
        self._lacking = {**kept, **{f"{name}.{column}": why for column, why in errors.items()}}
        return False

    def _plan(self, due: list[Learnt]) -> LookPlan:
        key = tuple(learnt.spec.name for learnt in due)
        plan = self._plans.get(key)
        if plan is None:
            v1 = self.target.credentials.version == "1"
            asked, plan = wanted(due, v1, self._absent)
            plan.most = self._most
            former = self._former.get(key)
            if former is not None and former.same(plan):
                plan = former  # with the shapes of its answers
            else:
                plan.query = self.session.plan(asked, self._most)
            self._plans[key] = self._former[key] = plan
        return plan

    @property
    def watchful(self) -> bool:
        """Whether `swept` has to be called; else it would change nothing."""
        return self._refused > 0 or self._most < self._settings.oids_per_packet

    def swept(self) -> None:
        """Take note of a complete look within a sweep."""
        self._refused = 0
        self._go_larger()

    def not_swept(self, silent: bool) -> None:
        """Take note that we were asked among others and have to be looked at by ourselves."""
        self._refused += 1
        self._silent |= silent

    def asked(self) -> Asked | None:
        """Return what this device is asked among others, the same object while that is the same.

        None where it has to be looked at by itself: it was silent, its rows are to be learnt, a
        table is due that is not read at every look, or the latest sweeps were in vain.
        """
        if self._silent or self._refused >= IN_VAIN or self.lock.locked():
            return None
        now, rewalk_s = self._clock.mono_s(), self._settings.rewalk_s * self._phase
        key: list[str] = []
        for name, learnt in self._learnt.items():
            if not learnt.spec.every:
                if now - learnt.walked_s >= rewalk_s:
                    return None
                key.append(name)
            elif self._is_due(learnt, now):
                return None
        plan = self._plans.get(tuple(key))
        if plan is None or any(segment.learnt.fresh for segment in plan.segments):
            return None
        if not self._unsure:
            return plan.together
        self._unsure = False
        found = self.session.together(plan.query)
        told = (self._facts, {**plan.errors, **self._lacking})
        plan.together = together(self.target.name, plan, found, told) if found else None
        return plan.together

    def sure_until_s(self) -> float:
        """Return when (monotonic) `asked` may say something else though nothing happened."""
        rewalk_s, half_s = self._settings.rewalk_s * self._phase, self.target.interval_s / 2
        return min(
            learnt.due_s - half_s if learnt.spec.every else learnt.walked_s + rewalk_s
            for learnt in self._learnt.values()
        )

    async def _read(self, due: list[Learnt]) -> tuple[LookPlan, Values]:
        """GET what is due; where that shows that the rows changed, learn them and GET again."""
        plan = self._plan(due)
        values = await self.session.get(plan.query)
        restart = self.life.restarted(uptime_of(plan, values))
        if restart:  # tables that are not due now are learnt anew when they are
            here = {segment.learnt.spec.name for segment in plan.segments}
            for learnt in self._learnt.values():
                if learnt.spec.every and learnt.spec.name not in here:
                    learnt.walked_s, learnt.doubt = float("-inf"), not learnt.spec.scalar
        found = stale(plan, values, restart)
        believed = not found or self._may_walk()
        if not believed:
            values = distrust(plan, values, found, TOO_OFTEN)
        elif found:
            plan, values, believed = await self._read_again(due, plan, values, found)
        doubtful = {learnt.spec.name: RESTART for learnt in due if learnt.doubt}
        values = distrust(plan, values, doubtful, NOT_LEARNT)
        self._adapt(values)
        self._remember(plan, values, believed)
        return plan, values

    async def _read_again(
        self, due: list[Learnt], plan: LookPlan, values: Values, found: Mapping[str, str]
    ) -> tuple[LookPlan, Values, bool]:
        """Learn rows that may have changed, and GET again; return whether all is known now.

        Where they go on changing, they are learnt once more behind that GET: those that are the
        same before and behind it are believed, whatever the others do.
        """
        before = uptime_of(plan, values) or self.life.seen
        changed = await self._learn(plan, values, found)
        unlearnt = {name: why for name, why in found.items() if changed[name] is None}
        if not unlearnt:
            self.life.seen = before
            if RESTART in found.values():
                self.life.followed(any(changed.values()))
        plan = self._plan(due)
        values = await self.session.get(plan.query)
        again = {
            name: why
            for name, why in stale(plan, values, restarted(plan, values, before)).items()
            # Who says so again though nothing changed is like that.
            if why == RESTART or (why == WATCH and changed.get(name))
        }
        if again and not unlearnt and RESTART not in again.values():
            changed = await self._learn(plan, values, again)
            again = {name: why for name, why in again.items() if changed[name] is None}
            distrust_rows(plan, values, changed)
        values = distrust(plan, values, unlearnt, NOT_LEARNT)
        values = distrust(plan, values, again, TOO_OFTEN)
        return plan, values, not unlearnt and not again

    async def _learn(
        self, plan: LookPlan, values: Values, found: Mapping[str, str]
    ) -> dict[str, bool | None]:
        """Walk tables whose rows may have changed; return whether they have, as `_walk` does.

        What told of the change counts as it was *before* the walk: whatever changes during it is
        told of by what comes after it.
        """
        changed: dict[str, bool | None] = {}
        for name, why in found.items():
            learnt = self._learnt[name]
            other = changed[name] = await self._walk(learnt, why != ABSENT)
            if other is not None:
                learnt.idle_walks = learnt.idle_walks + 1 if why == WATCH and not other else 0
        for slot, learnt, oid in plan.watch:
            if slot not in values.wrong and changed.get(learnt.spec.name) is not None:
                learnt.watch[oid] = int(values.raw[slot])
        return changed

    def _may_walk(self) -> bool:
        now = self._clock.mono_s()
        self._changes = [at for at in self._changes if now - at < CHANGES_S]
        if len(self._changes) >= self._settings.walks_per_10m:
            return False
        self._changes.append(now)
        return True

    def _adapt(self, values: Values) -> None:
        self._be_smaller() if values.shrink else self._go_larger()

    def _go_larger(self) -> None:
        self._clean += 1
        if self._clean >= GROW_AFTER and self._most < self._settings.oids_per_packet:
            self._clean = 0
            self._most = min(self._settings.oids_per_packet, self._most + max(1, self._most // 4))
            self._plans.clear()

    def _be_smaller(self) -> None:
        self._most = max(1, self._most // 2)
        self._clean = 0
        self._plans.clear()

    def _remember(self, plan: LookPlan, values: Values, believed: bool) -> None:
        """Learn from what came: the clocks, the watched scalars, what is absent.

        Where it is not `believed`, the rows are still to be learnt anew: the clock that said so
        must say so again, and so must a watched scalar. Those are kept as they first were.
        """
        wrong = values.wrong
        if believed:
            self.life.seen = uptime_after(plan, values, self.life.seen)
        for slot, learnt, oid in plan.watch:
            if slot not in wrong:
                learnt.watch.setdefault(oid, int(values.raw[slot]))
        for segment in plan.segments:
            segment.learnt.fresh = False
        if wrong and note_absent(plan, wrong, self._absent):
            self._plans.clear()
