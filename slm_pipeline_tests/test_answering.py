"""What an SLM's samples come to: a vote, a checker's word, and what is known of the answer."""

import json

import numpy as np
import pytest

from slm_pipeline.answering import KNOWN, Asked, propose
from slm_pipeline.checkers import Checker
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import Leeway

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
MESSAGES = [{"role": "user", "content": "How is the weather in Oslo?"}]


def call(city):
    return json.dumps({"name": "weather", "arguments": {"city": city}})


class Model:
    """Says one text after the other."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def __call__(self, how):
        self.asked.append(how)
        text = self.texts[len(self.asked) - 1]
        return Completion(text, 10, len(text), 5.0, (-0.1, -0.3))


def checker(tmp_path, body, head=""):
    path = tmp_path / "task.py"
    path.write_text(f"from slm_pipeline.checkers import Checked\n{head}\ndef check(messages, answer):\n    {body}\n")
    return Checker(path, path.read_text())


def known(proposal, asked):
    return dict(zip(KNOWN, proposal.known(asked), strict=True))


def test_one_sample_is_the_greedy_answer():
    model = Model(call("Oslo"))
    proposal = propose(model, Asked(MESSAGES, [WEATHER]), 1, Leeway())
    assert [how.temperature for how in model.asked] == [0.0]
    assert proposal.answer.tool_calls[0].arguments == {"city": "Oslo"}
    assert (proposal.log_prob, proposal.least_log_prob) == (pytest.approx(-0.2), -0.3)


def test_samples_that_mean_the_same_vote_together_and_end_the_drawing():
    model = Model(call("Oslo"), call("oslo"), call("Oslo "), call("Bergen"))
    proposal = propose(model, Asked(MESSAGES, [WEATHER]), 8, Leeway())
    assert (proposal.samples, proposal.agreement) == (3, 1.0)
    assert len({how.seed for how in model.asked}) == 3


def test_the_majority_wins_over_the_greedy_answer():
    model = Model(call("Bergen"), *[call("Oslo")] * 7)
    proposal = propose(model, Asked(MESSAGES, [WEATHER]), 8, Leeway())
    assert proposal.answer.tool_calls[0].arguments == {"city": "Oslo"}
    assert proposal.agreement == pytest.approx((proposal.samples - 1) / proposal.samples)
    assert proposal.tokens == sum(len(text) for text in model.texts[: proposal.samples])


def test_an_answer_that_the_checker_passes_ends_the_drawing(tmp_path):
    asked = Asked(MESSAGES, [], checker(tmp_path, "return 'rain' in answer"))
    model = Model("sun", "sun", "rain", "sun")
    proposal = propose(model, asked, 8, Leeway())
    assert (proposal.text, proposal.samples, proposal.passed) == ("rain", 3, True)


@pytest.mark.parametrize(("gold", "samples"), [(False, 3), (True, 5)])
def test_answers_that_agree_end_the_drawing_unless_the_checker_knows_better(tmp_path, gold, samples):
    asked = Asked(MESSAGES, [], checker(tmp_path, "return 0.5 if answer == 'sun' else True", f"GOLD = {gold}"))
    proposal = propose(Model("sun", "sun", "sun", "sun", "rain"), asked, 8, Leeway())
    assert (proposal.samples, proposal.passed) == (samples, gold)


def test_what_the_checker_takes_out_is_not_said(tmp_path):
    body = "good = [l for l in answer.splitlines() if 'ok' in l]; return Checked(len(good) / len(answer.splitlines()), '\\n'.join(good))"
    asked = Asked(MESSAGES, [], checker(tmp_path, body))
    proposal = propose(Model("ok one\nbad\nok two"), asked, 1, Leeway())
    assert (proposal.text, proposal.passed) == ("ok one\nok two", True)


def test_arguments_that_nobody_said_are_counted():
    asked = Asked(MESSAGES, [WEATHER])
    grounded, invented = (propose(Model(call(city)), asked, 1, Leeway()) for city in ("Oslo", "New Delhi"))
    assert known(grounded, asked)["ungrounded"] == 0
    assert known(invented, asked)["ungrounded"] == 1
    assert np.isnan(known(propose(Model("It rains."), asked, 1, Leeway()), asked)["ungrounded"])


def test_a_call_that_fits_no_schema_is_known_as_such():
    asked = Asked(MESSAGES, [WEATHER])
    wrong = propose(Model(json.dumps({"name": "weather", "arguments": {"city": 7}})), asked, 1, Leeway())
    right = propose(Model(call("Oslo")), asked, 1, Leeway())
    assert (known(wrong, asked)["fits"], known(right, asked)["fits"]) == (0, 1)
