"""A judge's reply is read rightly for every mark and every choice it can give, and is no verdict where it gives none."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slm_pipeline.judge import MARKS, JudgeUnavailable, judge_of, mark, parse_choice, parse_mark, prefer
from slm_pipeline.settings import Settings

THOUGHTS = st.sampled_from(
    [
        "",
        "The answer is mostly right, but it leaves out the date.\n",
        "On a scale from 1 to 10 it does well.\n\n",
        "It names 3 of 4 cities and gets 2 of them right.\n",
        "Compared with the reference, the order id #W2378156 of 2024-05-20 is missing; 85% of it is fine.\n",
        "**Judgement:**\n- correct\n- complete\n",
    ]
)
MARK_PHRASES = [
    "Score: {n}",
    "score: {n}.",
    "**Score: {n}**",
    "Score: **{n}**",
    "Final score: {n}/10",
    "Score (1-10): {n}",
    "Score = {n}",
    "Score - {n}",
    "SCORE: {n} out of 10",
    "Overall score: {n}.0",
    '{{"score": {n}}}',
    '{{"reason": "good", "score": "{n}", "confidence": 0.9}}',
    "Rating: [[{n}]]",
    "My rating is {n}",
    "I would rate this answer a {n}.",
    "I rate it {n} / 10",
    "Grade: {n}, since it is what was asked for",
    "The mark is {n}",
    "Score:\n{n}",
    "Score: {n}\n",
]
BARE_MARKS = [
    "{n}",
    " {n} ",
    "{n}.",
    "**{n}**",
    "{n}/10",
    "{n} out of 10",
    "[[{n}]]",
    "I give it a {n}.",
    "On a scale of 1 to 10: {n}",
    "`{n}`",
]


@pytest.mark.parametrize("phrase", MARK_PHRASES)
@given(number=st.sampled_from(MARKS), thoughts=THOUGHTS)
def test_every_mark_is_read_from_every_phrase(phrase, number, thoughts):
    assert parse_mark(thoughts + phrase.format(n=number)) == number


@pytest.mark.parametrize("phrase", BARE_MARKS)
@pytest.mark.parametrize("number", MARKS)
def test_every_mark_is_read_on_its_own(phrase, number):
    assert parse_mark(phrase.format(n=number)) == number


@given(st.integers(-1000, 1000).filter(lambda n: n not in MARKS), st.sampled_from([*MARK_PHRASES, *BARE_MARKS]))
def test_what_is_off_the_scale_is_no_mark(number, phrase):
    assert parse_mark(phrase.format(n=number)) is None


@given(
    st.sampled_from(MARKS),
    st.sampled_from(MARKS),
    st.sampled_from(["Score: {a} or {b}", "between {a} and {b}", "Score: {a}\nScore: {b}", "{a}-{b}"]),
)
def test_two_different_marks_are_none(a, b, phrase):
    assume(a != b)
    assert parse_mark(phrase.format(a=a, b=b)) is None


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Good.",
        "Score: seven",
        "Score: 7.5",
        "7.5/10",
        "Score: 70/100",
        "Score: 7%",
        "Score: N",
        "Score: 1-10",
        "I saw 3 errors in 5 lines",
        "10x",
    ],
)
def test_what_is_no_mark_is_none(reply):
    assert parse_mark(reply) is None


@given(st.text())
def test_any_text_is_read(reply):
    assert parse_mark(reply) in (None, *MARKS)
    assert parse_choice(reply) in (None, "A", "B", "tie")


CHOICE_PHRASES = [
    "Verdict: {c}",
    "verdict: {c}.",
    "**Verdict: {c}**",
    "Final verdict: **{c}**",
    '{{"verdict": "{c}"}}',
    "[[{c}]]",
    "{c}",
    " {c}.\n",
]
CHOICE_PHRASES += ["Verdict:\n{c}", "The winner is {c}", "My preference: {c}", "Verdict: Answer {c}", "Verdict: Assistant {c}, by far"]


@pytest.mark.parametrize("phrase", CHOICE_PHRASES)
@pytest.mark.parametrize(("said", "choice"), [("A", "A"), ("B", "B"), ("tie", "tie"), ("Tie", "tie"), ("draw", "tie")])
def test_every_choice_is_read_from_every_phrase(phrase, said, choice):
    assert parse_choice(phrase.format(c=said)) == choice
    thoughts = "Both name the city; a check of answer A shows that B may be wrong.\n"
    if not phrase.strip().startswith("{c}"):
        assert parse_choice(thoughts + phrase.format(c=said)) == choice


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Verdict: a tie", "tie"),
        ("Verdict: A tie", "tie"),
        ("Answer B is better because it is complete", "B"),
        ("Assistant A's answer is clearly better.", "A"),
        ("[[C]]", "tie"),
        ("Verdict: A is better", "A"),
        ("Verdict: A close call", None),
        ("The verdict is a hard one to give", None),
        ("Verdict: A\nVerdict: B", None),
        ("A or B", None),
        ("Both have their merits", None),
        ("", None),
    ],
)
def test_a_choice_is_not_guessed(reply, choice):
    assert parse_choice(reply) == choice


class Judge(BaseHTTPRequestHandler):
    """A chat-completions server that answers as its server's `reply` says, and keeps what it was asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        status, reply = self.server.reply(body["messages"])
        data = (
            reply if isinstance(reply, bytes) else json.dumps({"choices": [{"message": {"role": "assistant", "content": reply}}]}).encode()
        )
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Judge) as running:
        running.asked, running.url = [], f"http://127.0.0.1:{running.server_port}/v1"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_mark_comes_over_http(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sesame-1")
    server.reply = lambda messages: (200, "Complete and correct.\nScore: 10")
    ask = judge_of(Settings(judge_url=server.url, judge_model="big", judge_key_env="JUDGE_KEY"))
    assert mark("What is 2 + 2?", "4", "four", ask) == 1
    ((path, key, body),) = server.asked
    assert (path, key, body["model"], body["temperature"]) == ("/v1/chat/completions", "Bearer sesame-1", "big", 0)
    assert all(said in body["messages"][1]["content"] for said in ("What is 2 + 2?", "four"))
    server.reply = lambda messages: (200, "Score: 1")
    assert mark("q", "r", "a", ask) == 0
    server.reply = lambda messages: (200, "I cannot say.")
    assert mark("q", "r", "a", ask) is None


def in_place_of(messages, text: str) -> str:
    """The letter under which the judge was shown `text`."""
    return "A" if f"<Answer A>\n{text}" in messages[1]["content"] else "B"


@pytest.mark.parametrize(
    ("verdict", "score"),
    [
        (lambda messages: f"Verdict: {in_place_of(messages, 'good')}", 1),
        (lambda messages: f"Verdict: {in_place_of(messages, 'bad')}", 0),
        (lambda messages: "Verdict: A", 0.5),
        (lambda messages: "Verdict: tie", 0.5),
        (lambda messages: "Verdict: A" if in_place_of(messages, "good") == "A" else "Hm.", None),
    ],
)
def test_a_pair_is_won_only_in_both_orders(server, verdict, score):
    server.reply = lambda messages: (200, verdict(messages))
    assert prefer("q", "good", "bad", judge_of(Settings(judge_url=server.url))) == score
    assert len(server.asked) == 2
    assert server.asked[0][1] is None


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((500, b"boom"), "status 500"),
        ((401, b"no"), "status 401"),
        ((307, b""), "status 307"),
        ((200, b"<html>"), "something else than a chat completion"),
        ((200, b'{"choices": []}'), "something else than a chat completion"),
    ],
)
def test_a_judge_that_fails_says_why_and_no_secret(server, monkeypatch, reply, why):
    monkeypatch.setenv("JUDGE_KEY", "sesame-1")
    server.reply = lambda messages: reply
    with pytest.raises(JudgeUnavailable, match=why) as error:
        judge_of(Settings(judge_url=server.url, judge_key_env="JUDGE_KEY"))([{"role": "user", "content": "private"}])
    assert "sesame-1" not in str(error.value)
    assert "private" not in str(error.value)


def test_a_judge_that_is_not_there_is_said_to_be(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(JudgeUnavailable, match="cannot be reached"):
        judge_of(Settings(judge_url="http://127.0.0.1:9/v1"))([])
    with pytest.raises(JudgeUnavailable, match="NO_SUCH_KEY"):
        judge_of(Settings(judge_url="http://127.0.0.1:9/v1", judge_key_env="NO_SUCH_KEY"))
