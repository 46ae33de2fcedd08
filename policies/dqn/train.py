"""Training, from top to bottom. `headway train` and `ablation` call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from policies.dqn.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from policies.dqn.domain import STREAMING, Domain, DomainSettings, near
from policies.dqn.forward import shapes
from policies.dqn.learner import Learner, LearnerSettings, Learnt
from policies.dqn.network import NetworkSettings, QNetwork
from policies.dqn.policy import DqnPolicy
from policies.dqn.replay import Replay
from policies.dqn.rollout import RewardSettings, Rollout
from policies.dqn.validation import Validation, ValidationSettings, validate, validation_runs
from policies.selection.base import Policy
from policies.selection.greedy import Greedy, GreedySettings
from policies.simulation.env import SelectionEnv
from policies.simulation.workload import SimulatedCandidate, Workload

STATE = "training.pt"
"""In the output folder: what resuming needs."""
BEST = "best.safetensors"
"""In the output folder: the checkpoint of the best validation."""


Point = tuple[int, float | None, float | None]
"""Decisions, then the scores on the known and on the drawn workloads, of a validation."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything that decides the result, the workloads of a fine-tuning aside."""

    seed: int = 1
    decisions: int = 1_200_000
    environments: int = 32
    """Played in step."""
    warm_up: int = 10_000
    """Decisions before the first step of learning."""
    learn_every: int = 1
    """Steps of the environments for each step of learning."""
    batch: int = 512
    """Transitions for each step of learning."""
    replay: int = 300_000
    """Transitions that are kept."""
    epsilon: float = 0.1
    """Share of random actions of the environment that explores most, after the decay."""
    epsilon_spread: float = 2.0
    """The environment that explores least has epsilon to the power of 1 + this; those between are between."""
    epsilon_decay: float = 0.03
    """Share of the training in which random actions fall from all to epsilon, linearly."""
    temperature: float = 0.05
    """The other actions of that environment are drawn with exp(value / this), in what an average request can earn; it
    falls to 0 for the one that explores least. Of two actions that are nearly equal both are seen, so that their
    difference is learnt and does not drift until the other one is taken."""
    validate_every: int = 50_000
    """Decisions between validations."""
    without: tuple[str, ...] = ()
    """Groups of features to leave out, for ablations."""
    reward: RewardSettings = field(default_factory=RewardSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    domain: DomainSettings = field(default_factory=DomainSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)


STREAMS = TrainSettings(domain=STREAMING, validation=ValidationSettings(known=(), drawn=96))
"""For routes whose candidates all stream tokens."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after every few hundred decisions."""

    decisions: int
    of: int
    epsilon: float
    recent_score: float
    """Mean of the last episodes, exploration included; not a number before the first has ended."""
    validation: Validation | None
    """The last."""
    best: Validation | None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to."""

    checkpoint: Checkpoint
    best: Validation
    curve: tuple[Point, ...]


def train(  # noqa: PLR0915 - to be read from top to bottom
    settings: TrainSettings,
    out: Path,
    *,
    workloads: Sequence[Workload] = (),
    candidates: Sequence[SimulatedCandidate] = (),
    start: Checkpoint | None = None,
    resume: bool = False,
    notes: dict[str, Any] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train, and leave the best checkpoint, the log and the state in `out`.

    `start` is a checkpoint to go on from; `workloads` are played instead of drawn ones, each with its latencies up to a
    tenth off; `candidates` take the place of drawn ones. `resume` goes on from the state in `out`: with its settings,
    parameters, optimiser and replay buffer, but with new episodes. `notes` stand in the checkpoint's
    sidecar. The same arguments give the same result, on the same machine and versions. Raises `CheckpointError` if
    there is nothing to go on from.
    """
    torch.set_num_threads(1)
    state = _read_state(out / STATE) if resume else None
    if state is not None:
        settings = settings_from(state["settings"])
    done = 0 if state is None else int(state["decisions"])
    curve: list[Point] = [] if state is None else [tuple(point) for point in state["curve"]]
    best = None if state is None else Validation(*state["best"])

    source = (lambda generator: near(tuple(workloads), generator)) if workloads else Domain(settings.domain, candidates)
    places = max(settings.domain.candidates[1], len(candidates), *(len(item.candidates) for item in workloads), 0)
    reference = reference_policy if settings.reward.baseline == "reference" else None
    environments = [
        SelectionEnv(source, places=places, without=settings.without, reference=reference)
        for _ in range(settings.environments)
    ]
    seeds = np.random.SeedSequence([settings.seed, done])
    exploring, sampling = (np.random.Generator(np.random.PCG64(child)) for child in seeds.spawn(2))
    rollout = Rollout(environments, settings.reward, seed=settings.seed * 100_000 + done)
    replay = Replay(settings.replay, observation_size=rollout.observations.shape[1], actions=places + 1)
    learner = Learner(settings.learner, settings.network, seed=settings.seed)
    if start is not None:
        _start_from(learner, start)
    if state is not None:
        learner.load(state["learner"])
        replay.load(state["replay"])
    known, drawn = validation_runs(settings.validation, settings.domain, workloads=workloads, candidates=candidates)

    out.mkdir(parents=True, exist_ok=True)
    writer = SummaryWriter(out / "tensorboard", purge_step=done)
    scores: list[float] = []
    learnt: list[Learnt] = []
    steps, validation = 0, best
    while done < settings.decisions:
        # 1. One decision in each environment.
        epsilons = _epsilons(settings, done)
        for transition in rollout.step(*_actions(learner, rollout, epsilons, settings.temperature, exploring)):
            replay.add(transition)
        done += len(environments)
        steps += 1
        # 2. One step of learning.
        # Where episodes are short, few of their decisions have as many after them as a return takes.
        warm = done >= settings.warm_up and len(replay) >= settings.batch
        if warm and steps % settings.learn_every == 0:
            learnt.append(learner.learn(replay.sample(settings.batch, sampling), progress=done / settings.decisions))
        # 3. The log.
        scores, rollout.scores = (scores + rollout.scores)[-RECENT:], []
        if steps % LOG_EVERY == 0:
            _log(writer, done, learnt, scores, epsilons)
            learnt = []
            recent = float(np.mean(scores)) if scores else math.nan
            if report is not None:
                report(Progress(done, settings.decisions, float(epsilons.max()), recent, validation, best))
        # 4. Validation, which keeps the best.
        if done // settings.validate_every > (done - len(environments)) // settings.validate_every or (
            done >= settings.decisions
        ):
            trained = _checkpoint(out / BEST, learner.average, settings, done)
            weights = settings.validation.later_weights if settings.network.chance else (1.0,)
            tried = [replace(trained, later_weight=weight) for weight in weights]
            validations = [validate(partial(DqnPolicy, each), known, drawn) for each in tried]
            validation, candidate = max(zip(validations, tried, strict=True), key=lambda pair: pair[0].score)
            curve.append((done, validation.known, validation.drawn))
            _log_validation(writer, done, validation, candidate.later_weight)
            if best is None or validation.score > best.score:
                best = validation
                write_checkpoint(replace(candidate, training=_sidecar(settings, done, best, curve, notes)))
            _write_state(out / STATE, learner, replay, settings, done, curve, best)
    writer.close()
    if best is None:
        raise ValueError("nothing was trained: no decisions left")
    return Trained(_checkpoint(out / BEST, learner.average, settings, done), best, tuple(curve))


RECENT = 64
"""Episodes in the recent score."""
LOG_EVERY = 64
"""Steps of the environments."""


def reference_policy() -> Policy:
    """What rewards are compared with: its margin is what suits most workloads."""
    return Greedy(GreedySettings(margin_sigmas=4.0))


def _epsilons(settings: TrainSettings, done: int) -> NDArray[np.float64]:
    """Share of random actions of each environment."""
    powers = 1 + settings.epsilon_spread * np.linspace(0.0, 1.0, settings.environments)
    last = np.asarray(settings.epsilon**powers, dtype=np.float64)
    decayed = min(1.0, done / max(1.0, settings.epsilon_decay * settings.decisions))
    return 1.0 + (last - 1.0) * decayed


def _actions(
    learner: Learner,
    rollout: Rollout,
    epsilons: NDArray[np.float64],
    temperature: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """An action for each environment, and which of them are not the best.

    The largest of the values with a noise of Gumbel's distribution is a draw by exp(value / temperature).
    """
    values = learner.values(rollout.observations, rollout.masks)
    best = values.argmax(1)
    temperatures = np.linspace(temperature, 0.0, len(values))[:, None]
    actions = (values + temperatures * generator.gumbel(size=values.shape)).argmax(1)
    for place in np.flatnonzero(generator.uniform(size=len(actions)) < epsilons):
        actions[place] = generator.choice(np.flatnonzero(rollout.masks[place]))
    return actions, actions != best


def _log(
    writer: SummaryWriter,
    done: int,
    learnt: Sequence[Learnt],
    scores: Sequence[float],
    epsilons: NDArray[np.float64],
) -> None:
    writer.add_scalar("episode/epsilon", float(epsilons.mean()), done)
    if scores:
        writer.add_scalar("episode/score", float(np.mean(scores)), done)
    for name in (item.name for item in fields(Learnt)) if learnt else ():
        writer.add_scalar(f"learner/{name}", float(np.mean([getattr(step, name) for step in learnt])), done)


def _log_validation(writer: SummaryWriter, done: int, validation: Validation, later_weight: float) -> None:
    for name, score in (("known", validation.known), ("drawn", validation.drawn)):
        if score is not None:
            writer.add_scalar(f"validation/{name}", score, done)
    writer.add_scalar("validation/later_weight", later_weight, done)


def _checkpoint(path: Path, network: QNetwork, settings: TrainSettings, done: int) -> Checkpoint:
    shape = settings.network
    wanted = shapes(shape.hidden, dueling=shape.dueling, chance=shape.chance)
    parameters = {name: values.numpy().copy() for name, values in network.state_dict().items() if name in wanted}
    training = {"decisions": done}
    return Checkpoint(
        path, parameters, shape.hidden, shape.dueling, shape.chance, without=settings.without, training=training
    )


def _sidecar(
    settings: TrainSettings,
    done: int,
    best: Validation,
    curve: Sequence[Point],
    notes: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "decisions": done,
        "settings": asdict(settings),
        "validation": {"known": _rounded(best.known), "drawn": _rounded(best.drawn)},
        "curve": [[decisions, _rounded(known), _rounded(drawn)] for decisions, known, drawn in curve],
        "torch": torch.__version__,
        **(notes or {}),
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 5)


def _start_from(learner: Learner, start: Checkpoint) -> None:
    parameters = {name: torch.from_numpy(values.copy()) for name, values in start.parameters.items()}
    for network in (learner.network, learner.target, learner.average):
        try:
            network.load_state_dict(parameters, strict=start.dueling and start.chance)
        except RuntimeError as error:
            raise CheckpointError(f"{start.path}: its network is not of the settings' shape: {error}") from error


def _write_state(
    path: Path,
    learner: Learner,
    replay: Replay,
    settings: TrainSettings,
    done: int,
    curve: Sequence[Point],
    best: Validation,
) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "settings": asdict(settings),
            "decisions": done,
            "curve": [list(point) for point in curve],
            "best": [best.known, best.drawn],
            "learner": learner.state(),
            "replay": replay.state(),
        },
        temporary,
    )
    temporary.replace(path)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; nothing to resume") from error
    except Exception as error:  # torch.load raises what the archive and the pickle reader raise
        raise CheckpointError(f"{path}: {error}") from error
    return state


def settings_from(values: dict[str, Any]) -> TrainSettings:
    """Settings from `dataclasses.asdict` of them, as checkpoints carry them. Lists become tuples."""
    parts = {
        "reward": RewardSettings,
        "network": NetworkSettings,
        "learner": LearnerSettings,
        "domain": DomainSettings,
        "validation": ValidationSettings,
    }
    made: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, part in parts.items():
        inside = {key: tuple(value) if isinstance(value, list) else value for key, value in values[name].items()}
        made[name] = part(**inside)
    return TrainSettings(**made)
