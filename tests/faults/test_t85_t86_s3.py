"""T85 and T86 with a remote on object storage: a server on loopback that speaks S3, kept by the test itself."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.push import push
from foalnet.artifact.dvcrepo import opened
from foalnet.checks.verify import code_of
from foalnet.checks.verify.places import Remote
from foalnet.core.errors import MachineError
from tests.support.marks import red_when
from tests.support.projects import run, stages_run
from tests.support.remotes import Place, broken, links

pytestmark = pytest.mark.long

SECRET = "not-a-real-key"
# A bucket for each test: the server's objects outlive it.
NUMBERS = itertools.count(1)
CONFIG = """[core]
    remote = store
['remote "store"']
    url = s3://{bucket}/results
    endpointurl = {address}
    access_key_id = tester
    secret_access_key = {secret}
    connect_timeout = 2
"""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A project with a bucket as its remote; `server` can be stopped and started, its objects stay."""

    name: str
    place: Place
    server: Any
    client: Any

    def key(self, md5: str) -> str:
        return f"results/files/md5/{md5[:2]}/{md5[2:]}"

    def dvc(self, *command: str, check: bool = True) -> Any:
        return run(self.place.project, sys.executable, "-m", "dvc", *command, check=check)


@pytest.fixture
def bucket(pushed: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    import boto3
    from moto.server import ThreadedMotoServer

    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    name = f"foal-{next(NUMBERS)}"
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="tester", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket=name)
    place = pushed.copy(tmp_path)
    text = CONFIG.format(bucket=name, address=address, secret=SECRET)
    (place.project / ".dvc" / "config.local").write_text(text)
    yield Bucket(name=name, place=place, server=server, client=client)
    server.stop()


@red_when("checks/verify/outputs.py", "objects of a remote are taken by their names")
def test_t86_objects_of_a_bucket_are_held_to_their_names(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bucket.place.project
    bucket.dvc("push")
    assert broken(links(project, monkeypatch, "")) == []
    md5 = bucket.place.md5("data/drawn/shards", "Session1/000000.tar")
    data = bytearray(bucket.client.get_object(Bucket=bucket.name, Key=bucket.key(md5))["Body"].read())
    data[5000] ^= 1
    bucket.client.put_object(Bucket=bucket.name, Key=bucket.key(md5), Body=bytes(data))
    [link] = broken(links(project, monkeypatch, "store"))
    assert link.verdict == "differs"
    assert (
        f"data/drawn/shards/Session1/000000.tar, object s3://{bucket.name}/{bucket.key(md5)}: expected" in link.result
    )
    assert SECRET not in str(link)
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.key(md5))
    results = links(project, monkeypatch, "store")
    [link] = broken(results)
    assert (link.verdict, code_of(results)) == ("absent", 4)
    assert "lacks data/drawn/shards/Session1/000000.tar" in link.result


@red_when("checks/verify/places.py", "what the remote's client raises is not made a typed error")
def test_t85_a_bucket_that_does_not_answer_fails_with_a_message_and_takes_the_push_when_it_is_back(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bucket.place.project
    host, port = bucket.server.get_host_and_port()
    bucket.server.stop()
    with pytest.raises(MachineError, match="remote store: ") as caught:
        push(project, ["manifest@drawn"], {})
    assert SECRET not in str(caught.value)
    cannot_be_read = pytest.raises(MachineError, match=r"DVC remote store \(s3://foal-\d/results\) cannot be read")
    with opened(project) as repo, cannot_be_read as caught:
        Remote(repo, "store").digests(["0" * 32])
    assert SECRET not in str(caught.value)
    again = type(bucket.server)(ip_address=host, port=port, verbose=False)
    again.start()
    try:
        push(project, ["manifest@drawn"], {})
        md5 = bucket.place.md5("data/drawn/manifest.jsonl")
        assert bucket.client.head_object(Bucket=bucket.name, Key=bucket.key(md5))["ContentLength"] > 0
    finally:
        again.stop()


def test_a_fresh_clone_pulls_from_a_bucket_and_has_nothing_to_do(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.dvc("push")
    config = (bucket.place.project / ".dvc" / "config.local").read_text()
    clone = bucket.place.clone(tmp_path / "clone")
    (clone / ".dvc" / "config.local").write_text(config)
    run(clone, sys.executable, "-m", "dvc", "pull")
    before = (clone / "dvc.lock").read_bytes()
    done = run(clone, sys.executable, "-m", "dvc", "repro", "--allow-missing")
    assert stages_run(done) == ["inventory@drawn"]
    assert (clone / "dvc.lock").read_bytes() == before
    assert broken(links(clone, monkeypatch)) == []
