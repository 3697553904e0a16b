"""Own labels of a real SAE on real texts, scores of any labels, and a chat model behind a real server."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from latentprobe.config import FitSpec
from latentprobe.corpus import read_texts
from latentprobe.encode.extract import load_pair
from latentprobe.encode.formats import label_table, labels
from latentprobe.encode.token_latents import token_latents
from latentprobe.errors import CorpusError, ModelError, SpecError
from latentprobe.experiment.chat import KEY, Chat
from latentprobe.experiment.demo import messages_path
from latentprobe.experiment.labelling import import_labels, shown_labels
from latentprobe.experiment.own_labelling import make_labels, score_own_labels

SAE = "bundled:minilm-l3-1k"


@pytest.fixture(autouse=True)
def folder_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTPROBE_LABELS", str(tmp_path / "labels"))


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the packaged messages, the short ones: one a line."""
    path = tmp_path_factory.mktemp("texts") / "messages.txt"
    texts = sorted(read_texts(messages_path())[1], key=len)[:150]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def most_common(messages: Path) -> list[int]:
    """The features that are on most often in them."""
    backbone, sae = load_pair(FitSpec.of(sae=SAE))
    texts = read_texts(messages)[1]
    tokens = token_latents(texts, backbone, sae)
    assert len(tokens.text) == tokens.latents.shape[0] and tokens.latents.shape[1] == sae.width
    assert (tokens.text[1:] >= tokens.text[:-1]).all() and (tokens.end > tokens.start).all()
    counts = tokens.latents.getnnz(axis=0)
    return sorted(counts.argsort()[-40:].tolist())


def test_the_latents_of_tokens_pool_to_those_of_texts() -> None:
    from latentprobe.encode.featurize import pooled_rows

    backbone, sae = load_pair(FitSpec.of(sae=SAE))
    texts = ["where is my refund?", "", "Das funktioniert nicht 😀", "where"]
    tokens = token_latents(texts, backbone, sae)
    pooled = pooled_rows(texts, backbone, sae, "max").toarray()
    dense = tokens.latents.toarray()
    for row in range(4):
        own = dense[tokens.text == row]
        assert own.max(axis=0, initial=0) == pytest.approx(pooled[row], abs=1e-5)
    assert texts[0][tokens.start[3] : tokens.end[3]] == "ref"


def test_labels_are_made_from_texts_scored_on_others_and_shown_from_then_on(
    messages: Path, most_common: list[int]
) -> None:
    some = ",".join(map(str, most_common))
    before = labels(SAE)
    told = make_labels(SAE, messages, features=some)
    assert told["how"] == "made here" and told["over"]["source"] == "labels.jsonl beside the weights"
    assert told["scored_on"]["texts"] == pytest.approx(0.2 * told["texts"], rel=0.3)
    after = label_table(SAE)
    assert len(after.features) == len(before) and after.features[most_common[0]].type == "words"
    assert {j for j in before if after.labels[j] != before[j]} <= set(most_common)
    scores = [after.scores[j] for j in most_common if j in after.scores]
    assert len(scores) > 3 and sum(scores) / len(scores) > 0.51
    assert make_labels(SAE, messages, features=some)["median_score"] == told["median_score"]


def test_labels_are_scored_on_held_out_texts_and_never_on_those_they_were_made_from(
    tmp_path: Path, messages: Path, most_common: list[int]
) -> None:
    texts = read_texts(messages)[1]
    (tmp_path / "own.txt").write_text("\n".join(texts[:80]), encoding="utf-8")
    (tmp_path / "held.txt").write_text("\n".join(texts[80:]), encoding="utf-8")
    some = ",".join(map(str, most_common))
    make_labels(SAE, tmp_path / "own.txt", features=some)
    told = score_own_labels(SAE, tmp_path / "held.txt", features=some)
    assert told["better_than_chance"] > 0 and told["scored_on"]["judges"] == ["rule"]
    rows = label_table(SAE).features
    assert told["scored"] == sum(rows[j].score is not None for j in most_common)
    assert told["strongest"]["scored"] == sum(rows[j].strongest is not None for j in most_common) <= told["scored"]
    assert shown_labels(SAE)["scored"] == sum(row.score is not None for row in rows.values())
    assert label_table(SAE).provenance["scored_on"]["held_out"] == "held.txt"
    with pytest.raises(CorpusError, match="held-out"):
        score_own_labels(SAE, tmp_path / "own.txt")


@pytest.mark.slow
def test_a_label_in_free_words_is_judged_by_its_likeness_to_the_places(
    tmp_path: Path, messages: Path, most_common: list[int]
) -> None:
    (tmp_path / "l.csv").write_text(f"feature,label\n{most_common[0]},questions about money\n")
    import_labels(tmp_path / "l.csv", sae=SAE)
    told = score_own_labels(SAE, messages)
    assert told["scored_on"]["judges"] == ["rule", "likeness of label and place to MiniLM"]
    assert 0 <= label_table(SAE).scores[most_common[0]] <= 1


@pytest.mark.parametrize("written", ["1024", "x", "3-", "5,1024-1030", "", "-1"])
def test_features_that_are_none_are_refused(messages: Path, written: str) -> None:
    with pytest.raises(SpecError, match="features"):
        make_labels(SAE, messages, features=written)


# A chat model behind a real server.


class Model(ThreadingHTTPServer):
    """Answers as chat endpoints do; what it is asked is kept."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.failures: list[int] = []
        self.say: str | None = None
        self.redirect: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Answers(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **asked})
        self.server.keys.append(self.headers["Authorization"])
        if self.server.redirect:
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
            return
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
            return
        body = json.dumps({"choices": [{"message": {"content": self.server.say or answer(asked)}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def answer(asked: dict[str, Any]) -> str:
    """A model that knows one word: it calls every feature by the first marked one, and judges by it."""
    system, user = (message["content"] for message in asked["messages"])
    if "phrase" in system:
        return f'"{re.findall(r"<<(.+?)>>", user)[0].lower()}"'
    description = user.split("\n")[0].removeprefix("Description: ")
    marked = [re.findall(r"<<(.+?)>>", line)[0].lower() for line in user.split("\n")[1:]]
    return "Here you are: " + json.dumps([int(word == description) for word in marked])


@pytest.fixture
def server(socket_enabled: None) -> Iterator[Model]:
    model = Model()
    thread = threading.Thread(target=model.serve_forever, daemon=True)
    thread.start()
    yield model
    model.shutdown()
    model.server_close()
    thread.join()


def test_a_chat_model_writes_labels_and_judges_them(
    server: Model, messages: Path, most_common: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "secret")
    some = ",".join(map(str, most_common[:3]))
    told = make_labels(SAE, messages, features=some, chat=Chat(server.url, "tiny"))
    assert server.asked[0]["path"] == "/v1/chat/completions" and server.asked[0]["model"] == "tiny"
    assert set(server.keys) == {"Bearer secret"} and "tiny" in told["scored_on"]["judges"]
    row = label_table(SAE).features[most_common[0]]
    assert (row.type, row.explainer) == ("endpoint", "tiny") and " " not in row.label
    assert "secret" not in json.dumps(told)


def test_a_busy_endpoint_is_asked_again(server: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.failures, server.say = [429, 503], "fine"
    assert Chat(server.url + "/", "tiny").write([], []) == "fine" and len(server.asked) == 3


@pytest.mark.parametrize(("failures", "words"), [([401], "401"), ([500] * 4, "500"), ([404], "404")])
def test_an_endpoint_that_fails_is_refused(
    server: Model, monkeypatch: pytest.MonkeyPatch, failures: list[int], words: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.failures = failures
    with pytest.raises(ModelError) as refused:
        Chat(server.url, "tiny").write([], [])
    assert words in refused.value.got


@pytest.mark.parametrize("say", ["no idea", "[1, 0, 1]", "[]", "[1, 2]"])
def test_a_judgement_that_is_none_is_refused(server: Model, say: str) -> None:
    from latentprobe.explain.words import Excerpt

    server.say = say
    with pytest.raises(ModelError, match="JSON list of 2"):
        Chat(server.url, "tiny").judge("x", [Excerpt("a b", 0, 1), Excerpt("a b", 2, 3)])


def test_a_redirect_is_not_followed_with_the_key(server: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    server.redirect = server.url + "/elsewhere"
    with pytest.raises(ModelError, match="an answer"):
        Chat(server.url, "tiny").write([], [])
    assert len(server.asked) == 1


def test_an_endpoint_that_is_not_there_or_no_address_is_refused(server: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ModelError, match="an answer"):
        Chat("http://127.0.0.1:9/v1", "tiny").write([], [])
    for url in ("file:///etc/passwd", "localhost:8000", ""):
        with pytest.raises(SpecError, match="http"):
            Chat(url, "tiny")
    with pytest.raises(SpecError, match="features to describe"):
        make_labels(SAE, messages, chat=Chat(server.url, "tiny"))
