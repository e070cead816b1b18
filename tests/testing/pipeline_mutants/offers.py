"""Faults in what people are offered."""

from flashdreams.infra.runner.steering import Axis, Choice, Steering, Text
from flashdreams.testing.toy import ToyControlEncoder
from pipeline_mutants.mutant import Mutant


class TestPedalWithoutEffect(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(axes=(Axis(name="pedal"),))


class TestOptionThatIsNone(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(choices=(Choice(name="gear", options=("forward", "reverse")),))

        def steered(self, values):
            return {"forward": 1.0}[values["gear"]]


class TestTextThatIsLost(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(texts=(Text(name="words"),))

        def steered(self, values):
            return values.get("words")


class TestLowerThanItGoes(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class encoder(ToyControlEncoder):
        def forward(self, input, state):
            if input is not None and input < -1:
                raise ValueError("too far to the left")
            return super().forward(input, state)


class TestStartsNowhere(Mutant):
    found_by = "test_whatever_people_may_begin_with_begins_a_rollout"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(starts=("nowhere",))


class TestTakesNoImage(Mutant):
    found_by = "test_whatever_people_may_begin_with_begins_a_rollout"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(image=True, needs_image=True)
