"""The learner's loop on a real log, ledger and files, in a calendar that tests turn."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from serving import learner_status
from serving.learn import Loop
from serving.learner_status import Status
from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, HOUR
from tests.fakes.online import FakeOnline
from tests.fakes.registry import FakeRegistry
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.adapters.learning import Learning, Roles
from training.adapters.log_engine import reading
from training.adapters.log_tables import answer_table
from training.adapters.recent import Recent
from training.config.settings import Settings
from training.domain.experiment import Experiment, State
from training.domain.nouns import NONE
from training.model.matching import MatchingModel

SHOWN = [i for i in range(40) if fake.served(i, AS_OF).chosen_arm != NONE]


class LearningWorld:
    """A loop on a real log and real files, with everything that it meets at hand; `at` is what the data's clock says."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder)
        self.log = DecisionLog(self.settings.log_url)
        fake.fill(self.log, [fake.served(i, AS_OF + i * HOUR / 2) for i in range(40)])
        self.registry, self.online, self.at, self.seconds, self.said = FakeRegistry(folder / "registry"), FakeOnline(), AS_OF + 20 * HOUR, 0.0, []
        self.online.materialize(AS_OF, {f"m{i}": 0 for i in range(50)})
        self.experiments = SqlExperiments(self.settings.ledger_url)
        self.restart()

    def restart(self) -> None:
        """The process is another one from here on."""
        self.learning = Learning(self.settings, self.log.engine, self.registry, Recent(self.log.engine, self.online))
        who = partial(Roles.read, self.registry, self.experiments)
        self.loop = Loop(self.settings, self.learning, who, lambda: self.at, lambda event, **fields: self.said.append((event, fields)))

    def register(self, run: str, as_of: datetime = AS_OF) -> str:
        """The small model under another name; its version."""
        old = fake.model()
        folder = self.settings.home / "trained"
        MatchingModel(old.members, old.arms, old.towers, old.heads, {**old.manifest, "run_id": run, "as_of": as_of.isoformat()}).save(folder)
        return self.registry.register(folder, {"run_id": run})

    def crown(self, run: str, as_of: datetime = AS_OF) -> None:
        """The same, put in charge."""
        self.registry.point("champion", self.register(run, as_of))

    def experiment(self, run: str) -> Experiment:
        """The small model under another name as the challenger of an experiment, which it returns."""
        version = self.register(run)
        made = Experiment(f"e{version}", version, "1", State.RUNNING, (0.1,), ((AS_OF.date(), 0.1),), 0.05, AS_OF, AS_OF, "opened")
        self.experiments.open(made, "test")
        return made

    def turns(self, seconds: float = 3.0) -> None:
        """A turn each quarter of a second."""
        for _ in range(int(seconds * 4)):
            self.loop.turn(self.seconds)
            self.seconds += 0.25

    @property
    def status(self) -> Status:
        """What the file says."""
        found = learner_status.read(self.settings.posterior)
        assert found is not None
        return found

    def answers(self) -> list[Any]:
        """Rows of the table."""
        with reading(self.log.engine) as connection:
            return list(connection.execute(answer_table.select()))
