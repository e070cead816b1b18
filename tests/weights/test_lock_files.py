import json
from dataclasses import dataclass, field

import pytest

from flashdreams.errors import LockFileError, WeightsReferenceError
from flashdreams.io.lock import (
    LockedFile,
    find_entry,
    is_reference,
    read_lock,
    references_in,
    references_of,
)
from flashdreams.io.needs import needs_of, told
from flashdreams.io.source import Remote

HASH, COMMIT = "ab" * 32, "c0ffee" * 6 + "c0ff"
VAE = {
    "repo": "owner/name",
    "revision": COMMIT,
    "licence": "apache-2.0",
    "files": {"folder/vae.safetensors": {"sha256": HASH, "bytes": 7}, "config.json": {"sha256": None}},
}


def test_an_entry_is_found_by_its_reference(package):
    name = package({"vae": VAE, "tiny": {"url": "https://example.org/a/tiny.pth", "files": {"tiny.pth": {}}}})
    entry = find_entry(f"{name}:vae")
    assert (entry.repo, entry.revision, entry.licence) == ("owner/name", COMMIT, "apache-2.0")
    assert entry.files == (LockedFile("folder/vae.safetensors", HASH, 7), LockedFile("config.json"))
    assert entry.source == "owner/name@c0ffeec0ffee"
    assert list(read_lock(name)) == ["vae", "tiny"]


@pytest.mark.parametrize(
    ("url", "files", "addresses"),
    [
        ("https://x.org/a/tiny.pth", ["tiny.pth"], ["https://x.org/a/tiny.pth"]),
        ("https://x.org/a", ["tiny.pth"], ["https://x.org/a/tiny.pth"]),
        ("https://x.org/a/", ["b/1.pth", "2.pth"], ["https://x.org/a/b/1.pth", "https://x.org/a/2.pth"]),
    ],
)
def test_the_url_is_that_of_the_folder_or_of_the_only_file(package, url, files, addresses):
    entry = find_entry(package({"e": {"url": url, "files": {file: {} for file in files}}}) + ":e")
    assert [entry.address(file) for file in entry.files] == addresses
    assert entry.source == url


def test_text_that_is_a_reference():
    assert is_reference("flashdreams_x:vae-2.1")
    assert is_reference("some.package:vae")
    for text in ("random", "C:vae", "weights/model.safetensors", r"C:\weights", "a b:c", "package:", ":vae"):
        assert not is_reference(text), text
    assert references_in("random", "one:a", "two:b", "one:a", "/a/path") == ["one:a", "two:b"]


@dataclass(kw_only=True)
class Part:
    weights: str

    def weight_references(self):
        return references_in(self.weights)


@dataclass(kw_only=True)
class Whole:
    part: Part
    parts: list[Part] = field(default_factory=list)
    named: dict[str, Part] = field(default_factory=dict)
    pipeline: Part | None = None

    @property
    def effective_pipeline(self):
        return Part(weights="pack:effective")


def test_references_of_a_config_are_those_of_its_tree():
    whole = Whole(
        part=Part(weights="pack:a"),
        parts=[Part(weights="random"), Part(weights="pack:b")],
        named={"x": Part(weights="pack:c"), "y": Part(weights="pack:a")},
        pipeline=Part(weights="pack:replaced"),
    )
    assert references_of(whole) == ["pack:a", "pack:b", "pack:c", "pack:effective"]


def test_an_unknown_entry_is_answered_with_the_nearest(package):
    name = package({"vae": VAE})
    with pytest.raises(WeightsReferenceError) as caught:
        find_entry(f"{name}:vea")
    assert caught.value.what == f"'{name}:vea': the lock file of {name} has no entry 'vea'."
    assert caught.value.right == "Did you mean 'vae'?"


@pytest.mark.parametrize("reference", ["no_such_package:vae", "json:vae", "no reference"])
def test_a_package_without_weights(reference):
    with pytest.raises(WeightsReferenceError) as caught:
        find_entry(reference)
    assert repr(reference.partition(":")[0])[:-1] in caught.value.what


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"files": {}}, "lists no files"),
        ({"files": {"../x": {}}}, "has no plain relative path"),
        ({"files": {".": {}}}, "has no plain relative path"),
        ({"files": {"/x": {}}}, "has no plain relative path"),
        ({"files": {"C:x": {}}}, "has no plain relative path"),
        ({"files": {"x": {"sha256": "abc"}}}, "has the sha256 'abc'"),
        ({"files": {"x": {"sha256": HASH.upper()}}}, "has the sha256"),
        ({"files": {"x": {"bytes": "7"}}}, "has '7' bytes"),
        ({"files": {"x": {"size": 7}}}, "says {'size': 7}"),
        ({"repo": None}, "has the repo None"),
        ({"url": "https://x.org"}, "names not exactly one of repo and url"),
        ({"revision": 7}, "has the revision 7"),
        ({"revision": "main"}, "has the revision main"),
        ({"license": "mit"}, "has the keys ['license']"),
    ],
)
def test_a_malformed_entry(package, change, wrong):
    name = package({"vae": {**VAE, **change}})
    with pytest.raises(LockFileError) as caught:
        find_entry(f"{name}:vae")
    assert f"The entry {name}:vae in weights.lock.json of {name}" in caught.value.what
    assert wrong in caught.value.what
    assert "what is not known is null" in caught.value.right


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"a": 1}), json.dumps({"a b": VAE})])
def test_a_malformed_lock_file(package, text):
    with pytest.raises(LockFileError):
        read_lock(package(text))


def test_what_a_source_tells_never_takes_the_place_of_what_is_pinned(cache, package):
    needs = needs_of(package({"vae": VAE}) + ":vae")
    assert needs.entry.revision == VAE["revision"]
    assert told(needs, Remote(None, {}, {})).entry == needs.entry
    assert told(needs, Remote("d" * 40, {}, {})).entry == needs.entry


def test_an_address_without_encryption_is_refused(package):
    name = package({"e": {"url": "http://example.org/x", "files": {"x": {}}}})
    with pytest.raises(LockFileError, match="has the url 'http://example.org/x'"):
        find_entry(f"{name}:e")
