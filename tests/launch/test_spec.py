from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.gpus import ACCELERATORS, MOST_PER_NODE, Gpu, parse_gpu
from launch.spec import (
    MALFORMED,
    Mount,
    Secret,
    Spec,
    default_name,
    duration,
    parse_env,
    parse_mounts,
    parse_secrets,
    quantity,
)
from preprocess.shell.errors import UsageError
from tests.launch.made import IMAGE, MATRIX, spec


@pytest.mark.parametrize(
    ("text", "gpu"),
    [
        ("", None),
        ("0", None),
        ("h100:8", Gpu("h100", 8)),
        ("H100:8", Gpu("h100", 8)),
        ("l4", Gpu("l4", 1)),
        ("2", Gpu("", 2)),
        ("a100-80gb:4", Gpu("a100-80gb", 4)),
    ],
)
def test_gpus_are_written_like_kind_and_count(text, gpu):
    assert parse_gpu(text) == gpu


@pytest.mark.parametrize("text", ["h100:0", "h100:17", "h100:", "h100:x", ":2", "17", "h10:8"])
def test_gpus_that_cannot_be_are_refused(text):
    if text == ":2":
        assert parse_gpu(text) == Gpu("", 2)
        return
    with pytest.raises(UsageError, match="--gpu="):
        parse_gpu(text)


def test_a_mistyped_gpu_is_told_the_near_one():
    with pytest.raises(UsageError, match="did you mean 'h100'"):
        parse_gpu("h10:8")


@given(st.sampled_from(sorted(ACCELERATORS)), st.integers(1, MOST_PER_NODE))
def test_every_gpu_of_the_table_can_be_asked_for(kind, count):
    gpu = parse_gpu(f"{kind}:{count}")
    assert gpu is not None
    assert (gpu.kind, gpu.count, gpu.label) == (kind, count, ACCELERATORS[kind])


@pytest.mark.parametrize("name", ["", "Run", "1run", "run_1", "-run", "run-", "r" * 45, "run\n"])
def test_names_that_no_host_could_have_are_refused(name):
    with pytest.raises(UsageError, match="--name="):
        spec(name=name)


@pytest.mark.parametrize("image", ["", "shardline:latest", "shardline@sha256:abc"])
def test_a_cluster_takes_images_by_digest_only(image):
    with pytest.raises(UsageError, match="--image"):
        spec(image=image)
    assert spec(image=image, backend="local").image == image


@pytest.mark.parametrize("pair", [
    "WANDB_API_KEY=x", "WANDB_KEY=x", "GH_PAT=x", "PGPASS=x", "DB_PASSWORD=x", "SSH_PASSPHRASE=x",
    "AWS_SECRET_ACCESS_KEY=x", "HF_TOKEN=x", "GOOGLE_APPLICATION_CREDENTIALS=x", "NPM_AUTH=x",
    "DATABASE_URL=postgres://u:hunter2@127.0.0.1/d", "PROXY=http://u:p@proxy:3128",
    "EXTRA=-----BEGIN RSA PRIVATE KEY-----", "WHO=ghp_0123456789abcdefghijABCDEFGHIJ",
    "ID=AKIAIOSFODNN7EXAMPLE", "SESSION=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
])  # fmt: skip
def test_a_secret_by_name_or_by_look_is_refused_and_the_way_out_named(pair):
    name = pair.partition("=")[0]
    with pytest.raises(UsageError, match=f"--secret=NAME:KEY:{name}") as refusal:
        parse_env([pair])
    assert f"--env={name}=...:" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert parse_env([pair], [name]) == ((name, pair.partition("=")[2]),)


@pytest.mark.parametrize("pair", [
    "TOKENIZERS_PARALLELISM=false", "COLOUR=blue", "MONKEY=1", "URL=https://host:8080/a@b",
    "AUTHOR=me", "PATH=/a:/b", "COMPASS=north", "MAIL=me@host",
])  # fmt: skip
def test_what_only_resembles_a_secret_is_taken(pair):
    assert parse_env([pair]) == (tuple(pair.split("=", 1)),)


@pytest.mark.parametrize("flag", ["partition", "account", "priority", "queue", "namespace",
                                  "service_account"])  # fmt: skip
@pytest.mark.parametrize("value", ['p" --uid=0 --wrap="x', "p\ntouch pwned\n#", "--uid=0", "a b",
                                   "p;x", "$(x)", "p\x1b[2J"])  # fmt: skip
def test_what_would_be_more_than_one_word_is_refused(flag, value):
    with pytest.raises(UsageError, match=f"--{flag}=") as refusal:
        spec(**{flag: value})
    assert str(refusal.value).isprintable()
    assert getattr(spec(**{flag: "a.b_c-1,d"}), flag) == "a.b_c-1,d"


@pytest.mark.parametrize("changes", [
    {"arguments": ("--workdir=r\ntouch pwned",)},
    {"arguments": ("--workdir=r\x1b[2J",)},
    {"env": (("A", "x\nexport B=1"),)},
    {"env": (("A", "x\0"),)},
    {"env": (("A;touch pwned", "x"),)},
    {"mounts": (Mount("runs", "/runs\n"),)},
    {"mounts": (Mount("--all", "/runs"),)},
    {"secrets": (Secret("--a", "key", "V"),)},
    {"gpu": Gpu("h100 --uid=0", 1)},
])  # fmt: skip
def test_no_text_of_a_specification_holds_lines_or_options(changes):
    with pytest.raises(UsageError) as refusal:
        spec(**changes)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("changes", [
    {"workers": "2"}, {"workers": True}, {"arguments": "--a"}, {"arguments": [1]},
    {"env": [["A"]]}, {"env": 3}, {"gpu": "h100"}, {"gpu": {"kind": "h100"}},
    {"secrets": [{"name": 1, "key": "k", "variable": "V"}]}, {"mounts": ["x"]},
    {"backend": "ssh"}, {"verb": "sh"}, {"memory": "9" * 400 + "Gi"}, {"unknown": 1},
])  # fmt: skip
def test_what_no_specification_is_raises_what_readers_of_records_expect(changes):
    with pytest.raises(MALFORMED):
        Spec.from_dict({**json.loads(json.dumps(MATRIX["job-1"].to_dict())), **changes})


def test_shared_memory_has_to_leave_memory_for_the_worker():
    """/dev/shm is part of the container's limit."""
    with pytest.raises(UsageError, match="is part of"):
        spec(memory="2Gi", shared_memory="2Gi")


def test_a_time_limit_leaves_time_to_train():
    """SIGTERM comes up to grace + 60 s + 60 s before it: of 241 s a second may be left."""
    with pytest.raises(UsageError, match="--time_limit=240s leaves no time"):
        spec(backend="slurm", time_limit=240, grace=120)
    assert spec(backend="slurm", time_limit=241, grace=120).time_limit == 241
    with pytest.raises(UsageError, match="--deadline=240s leaves no time"):
        spec(backend="slurm", deadline=240, grace=120)


def test_on_spot_nodes_the_grace_is_what_they_give():
    assert spec(spot=True, grace=120).grace == 15
    assert spec(grace=120).grace == 120


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200),
                                               ("7d", 604800)])  # fmt: skip
def test_times_are_written_with_their_unit(text, seconds):
    assert duration("deadline", text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "1.5h", "-1s", "1w"])
def test_other_times_are_refused(text):
    with pytest.raises(UsageError, match="--deadline="):
        duration("deadline", text)


def test_sizes_are_binary():
    """1.5 GiB = 1.5 * 2^30 bytes."""
    assert quantity("memory", "1.5Gi") == 1_610_612_736
    with pytest.raises(UsageError, match="--memory=16GB"):
        quantity("memory", "16GB")


def test_lists_of_flags_are_taken_apart():
    assert parse_env(["A=b=c", "D="]) == (("A", "b=c"), ("D", ""))
    assert parse_secrets(["s:k:V"]) == (Secret("s", "k", "V"),)
    assert parse_mounts(["runs:/runs"])[0].path == "/runs"


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_env, "A"), (parse_env, "1A=2"), (parse_secrets, "a:b"), (parse_secrets, "a:b:1"),
     (parse_mounts, "runs:runs"), (parse_mounts, "/runs")],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused(parse, text):
    with pytest.raises(UsageError):
        parse([text])


def test_the_same_command_gets_the_same_name():
    one, other = ("--config=a",), ("--config=b",)
    assert default_name("train", one) == default_name("train", one)
    assert default_name("train", one) != default_name("train", other)
    assert spec(name=default_name("train", one), image=IMAGE).name.startswith("train-")


@pytest.mark.parametrize("name", MATRIX)
def test_a_specification_survives_being_written_down(name):
    text = json.dumps(MATRIX[name].to_dict())
    assert Spec.from_dict(json.loads(text)) == MATRIX[name]


def test_a_record_of_the_time_of_data_services_is_read():
    made = spec()
    assert Spec.from_dict({**made.to_dict(), "data_workers": 4}) == made
