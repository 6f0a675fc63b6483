"""What goes wrong in publishing is said in a sentence, and nothing is left half sent."""

import shutil
from functools import partial

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import http_backoff

import train.publish.hub
from tests.support import hub_server
from tests.support.hub_server import HubServer, Refusal
from tests.support.publishing import SENT, TOKENS
from train.publish.hub import KEPT, PushError, reason
from train.push import main, push


def test_no_token(online, finished_run, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("sys.argv", ["train.push", str(finished_run), "--repo-id", "owner/tiny"])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code.startswith("There is no token for the Hub: log in")  # a sentence: status 1


@pytest.mark.parametrize(
    ("token", "why"), [("hf_expired", "does not accept the token"), ("hf_stranger", "this token may not write there")]
)
def test_a_token_that_will_not_do(online, finished_run, monkeypatch, token, why):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(PushError, match=f"Nothing was published as owner/other: .*{why}"):
        push(finished_run, "owner/other")
    assert "owner/other" not in online.repos


@pytest.mark.parametrize(
    ("status", "why"), [(404, "no such repository or owner"), (503, "answered with status 503; try again later")]
)
def test_a_hub_that_refuses(online, finished_run, monkeypatch, status, why):
    def refuse(*_):
        raise Refusal(status, "not now")

    monkeypatch.setattr(hub_server, "check_may_write", refuse)
    with pytest.raises(PushError, match=why):
        push(finished_run, "owner/other")


@pytest.mark.parametrize("busy", [429, 503])
def test_a_busy_hub_is_asked_again(online, finished_run, busy):
    online.objects.clear()  # so that there is something to send
    steps = ("POST /api/repos/create", "POST /api/models/owner/busy/preupload", "PUT /lfs/")
    online.trouble = {step: [busy] for step in (*steps, "POST /api/models/owner/busy/commit")}
    name = f"owner/busy{busy}"
    online.trouble = {step.replace("owner/busy", name): statuses for step, statuses in online.trouble.items()}
    push(finished_run, name)
    assert set(online.repos[name].find("main")[1]) == SENT | {".gitattributes"}


def test_an_interrupted_upload_goes_on_where_it_stopped(online, finished_run, monkeypatch):
    online.objects.clear()
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", partial(http_backoff, max_retries=0))
    monkeypatch.setattr("huggingface_hub._commit_api.UPLOAD_BATCH_MAX_NUM_FILES", 1)
    online.trouble = {"PUT /lfs/": [0, "cut"]}
    with pytest.raises(PushError, match=r"check the network\. What was sent is kept: run the same command again"):
        push(finished_run, "owner/interrupted")
    assert set(online.repos["owner/interrupted"].find("main")[1]) == {".gitattributes"}  # all or nothing
    kept = set(online.objects)
    assert len(kept) == 1

    before = len(online.requests)
    push(finished_run, "owner/interrupted")
    uploads = [request for request in online.requests[before:] if request.startswith("PUT")]
    assert len(uploads) == 1 and uploads[0].removeprefix("PUT /lfs/") not in kept
    assert set(online.repos["owner/interrupted"].find("main")[1]) == SENT | {".gitattributes"}


def test_no_network(online, finished_run, monkeypatch):
    with HubServer(TOKENS) as gone:
        nobody_listens = gone.url
    monkeypatch.setattr(train.publish.hub, "HfApi", partial(HfApi, endpoint=nobody_listens))
    with pytest.raises(PushError, match=r"the Hub can't be reached .* check the network"):
        push(finished_run, "owner/tiny")


def test_offline_mode(online, finished_run, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="unset HF_HUB_OFFLINE"):
        push(finished_run, "owner/tiny")


def test_an_upload_that_breaks_off_is_told_by_its_cause():
    error = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    error.__cause__ = ConnectionResetError("connection reset")
    assert reason(error) == f"the Hub can't be reached (connection reset); check the network. {KEPT}"


def test_metadata_the_hub_does_not_take(online, finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(PushError, match=r"Invalid metadata in README\.md"):
        push(folder, "owner/tiny")


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("model", "holds no model: give a run's folder"),
        ("README.md", r"has no README\.md, the model card"),
        ("model/model.safetensors", "model can't be loaded"),
    ],
)
def test_a_folder_that_is_not_whole(finished_run, tmp_path, missing, why):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(PushError, match=why):
        push(folder, "owner/tiny", dry_run=True)


@pytest.mark.parametrize(("name", "why"), [("tiny", "write OWNER/NAME"), ("owner/ti ny", "must use alphanumeric")])
def test_a_name_that_is_none(finished_run, name, why):
    with pytest.raises(PushError, match=why):
        push(finished_run, name, dry_run=True)


@pytest.mark.parametrize("arguments", [[], ["DIR"], ["--repo-id", "owner/tiny"]])
def test_an_incomplete_command_says_what_it_needs(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.push", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "give DIR and --repo-id OWNER/NAME for a model, --space OWNER/NAME for the app" in capsys.readouterr().err
