"""Promises that make a pipeline fast: graphs can hold it, and decoding may overlap."""

from __future__ import annotations

from itertools import combinations

from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.testing.conformance import replay_problems
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.fake_gpu import host_syncs_on_fake_gpu
from flashdreams.testing.graph_readiness import GraphKey, record_rollouts
from flashdreams.testing.graph_replay import ChunkWatch
from flashdreams.testing.lane_races import find_races
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject


class EnginePromises(PipelinePromises):
    """What CUDA graphs and overlapping need, found out on the CPU."""

    def test_the_host_never_waits(self) -> None:
        """No chunk asks for a value of the device: on a GPU the host would wait for it."""
        with self.trial() as subject:
            _needs_graphs(subject)
            waits = _waits(subject)
            if waits:
                broken(
                    f"The host waits for {waits[0]}.",
                    "A chunk never reads on the host what was computed on the device.",
                    "Decide by torch.where or an index tensor, and not by if, .item(), .tolist() or .cpu().",
                )

    def test_graph_keys_settle(self) -> None:
        """Finitely many graphs serve all chunks: as many as the window has fill levels."""
        with self.trial() as subject:
            _needs_graphs(subject)
            chunks = subject.at_most(subject.full + 2)
            report = record_rollouts(
                subject.pipeline, chunks, controls=lambda index: subject.controls[0], **subject.conditions
            )
            recorded = list(report.keys_per_rollout[0])
            if len(report.declared) > subject.full:
                broken(
                    f"{chunks} chunks have {len(report.declared)} graph keys.",
                    f"There are at most {subject.full}, one for each fill level of the window.",
                    "Let graph_key name only what decides which operators run, and no number that grows.",
                )
            if len(recorded) > subject.full:
                broken(
                    f"{chunks} chunks run {len(recorded)} sequences of operators: {_apart(recorded)}.",
                    f"There are at most {subject.full}, one for each fill level of the window.",
                    "Keep numbers that grow in device tensors, and make no tensor of host values in a pass.",
                )
            if report.new_in_later_rollouts:
                broken(
                    f"A second rollout needs {report.new_in_later_rollouts} graphs that the first did not.",
                    "Graphs of a slot serve every rollout in it.",
                    "Allocate in allocate_cache, and write in place in begin_rollout.",
                )

    def test_graphs_make_what_the_code_makes(self) -> None:
        """Replays equal the code bit for bit, operator by operator."""
        with self.trial() as subject:
            _needs_graphs(subject)
            problems = replay_problems(
                subject.pipeline,
                [subject.at_most(subject.full + 2)],
                lambda index: subject.controls[0],
                **subject.conditions,
            )
            if problems:
                broken(
                    problems[0],
                    "Replayed from a graph, a chunk is what the code makes of it.",
                    "Let a pass read tensors at fixed addresses alone; graph_key names what else decides.",
                )

    def test_decoding_may_run_beside_the_next_chunk(self) -> None:
        """No lane of a device reads what another still writes."""
        with self.trial() as subject:
            _needs_cpu(subject)
            races = find_races(
                subject.pipeline,
                subject.at_most(2),
                controls=lambda index: subject.controls[0],
                **subject.conditions,
            )
            if races:
                broken(
                    races[0],
                    "Decoding overlaps the next chunk, so they share no memory.",
                    "Keep what the decoder needs in its state, and nothing of it in the transformer's cache.",
                )


def _waits(subject: Subject) -> list[str]:
    """What the host would wait for: seen on the CPU, and in a chunk on a GPU of shapes alone."""
    with subject.begin() as rollout:
        subject.go_on(rollout, subject.at_most(2) - 1)
        with ChunkWatch() as watch:
            subject.step(rollout)
        try:
            return watch.waits or host_syncs_on_fake_gpu(subject.pipeline, rollout)
        except FAILURES as error:
            broken(
                f"On a GPU of shapes alone, a chunk raised {one_line(error)}",
                "A chunk runs on any device.",
                "Make new tensors where given ones are: latents.new_zeros(...), or device=latents.device.",
            )


def _apart(recorded: list[GraphKey]) -> str:
    """An operator that differs between the two sequences that are most alike."""
    pairs = [pair for pair in combinations(recorded, 2) if len(pair[0]) == len(pair[1])]
    apart = [[one[0] for one, other in zip(*pair, strict=True) if one != other] for pair in pairs]
    least = min(apart, key=len, default=[])
    return f"{least[0]} is given something else" if least else "they are of different lengths"


def _needs_graphs(subject: Subject) -> None:
    if not subject.capabilities.graphs:
        skip("It is declared not to be held by graphs.")
    _needs_cpu(subject)


def _needs_cpu(subject: Subject) -> None:
    if subject.pipeline.device.type != "cpu":
        skip(f"It is found out on the CPU, and the pipeline is on {subject.pipeline.device}.")
