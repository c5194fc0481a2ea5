"""Parts: joined they are the wheelhouse; one that is missing or damaged is named."""

import json
import shutil
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.wheelhouse.manifest import FILE, Manifest
from permix_verl.wheelhouse.parts import LIST, parse_size, write_parts
from permix_verl.wheelhouse.unpack import unpack

from ...support.wheels import make_wheelhouse

LIMIT = 1_000_000


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A folder with the parts alone, as it is copied to a node."""
    write(tmp_path / "made", tmp_path / "parts")
    return tmp_path / "parts"


def write(made: Path, parts: Path) -> Manifest:
    manifest = make_wheelhouse(made, {"small": 10, "large": 2_500_000, "other": 1000})
    parts.mkdir()
    write_parts(made, manifest, parts, LIMIT)
    return manifest


def flip_byte(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def test_parts_are_named_in_order_and_join_to_what_was_packed(packed: Path, tmp_path: Path) -> None:
    files = sorted(packed.iterdir())
    assert [file.name for file in files] == [LIST, *(f"wheelhouse.tar.000{n}" for n in (1, 2, 3))]
    sizes = [file.stat().st_size for file in files[1:]]
    assert sizes[:2] == [LIMIT, LIMIT]
    assert 0 < sizes[2] < LIMIT
    folder, manifest = unpack(packed, None)
    assert folder == packed / "wheelhouse"
    assert len(manifest.wheels) == 3
    for file in (tmp_path / "made").iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()


def test_the_same_wheelhouse_gives_the_same_parts(packed: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", tmp_path / "other")
    for file in packed.iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()


def test_fewer_parts_leave_none_of_the_earlier_ones(packed: Path, tmp_path: Path) -> None:
    manifest = make_wheelhouse(tmp_path / "one", {"small": 10})
    write_parts(tmp_path / "one", manifest, packed, LIMIT)
    assert sorted(file.name for file in packed.iterdir()) == [LIST, "wheelhouse.tar.0001"]


def test_a_missing_part_is_named(packed: Path) -> None:
    (packed / "wheelhouse.tar.0002").unlink()
    with pytest.raises(UserError, match=r"1 of 3 parts are missing in .*: wheelhouse\.tar\.0002; copy"):
        unpack(packed, None)
    assert not (packed / "wheelhouse").exists()


@pytest.mark.parametrize("position", [0, 500_000])
def test_a_flipped_byte_is_named(packed: Path, position: int) -> None:
    flip_byte(packed / "wheelhouse.tar.0003", position)
    with pytest.raises(UserError, match=r"1 of 3 parts in .* are damaged: wheelhouse\.tar\.0003; copy"):
        unpack(packed, None)
    assert not (packed / "wheelhouse").exists()


def test_parts_of_a_half_copied_file_are_damaged(packed: Path) -> None:
    part = packed / "wheelhouse.tar.0001"
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"damaged: wheelhouse\.tar\.0001"):
        unpack(packed, None)


def test_without_their_list_the_parts_are_not_whole(packed: Path) -> None:
    (packed / LIST).unlink()
    with pytest.raises(UserError, match=r"has 3 parts and no parts\.json"):
        unpack(packed, None)


def test_a_list_that_leads_elsewhere_is_refused(packed: Path) -> None:
    data = json.loads((packed / LIST).read_text())
    data["parts"][0]["file"] = "../made/manifest.json"
    (packed / LIST).write_text(json.dumps(data))
    with pytest.raises(UserError, match="is damaged"):
        unpack(packed, None)


def test_parts_that_hold_a_damaged_wheel_are_refused(tmp_path: Path) -> None:
    manifest = make_wheelhouse(tmp_path / "made", {"small": 2000})
    flip_byte(tmp_path / "made" / manifest.wheels[0].file, 500)
    (tmp_path / "parts").mkdir()
    write_parts(tmp_path / "made", manifest, tmp_path / "parts", LIMIT)
    with pytest.raises(UserError, match=r"small-1\.0-py3-none-any\.whl is damaged"):
        unpack(tmp_path / "parts", None)


def test_unpacking_again_replaces_a_damaged_wheelhouse_and_no_other_folder(packed: Path, tmp_path: Path) -> None:
    folder, manifest = unpack(packed, tmp_path / "here")
    flip_byte(folder / manifest.wheels[0].file, 100)
    with pytest.raises(UserError, match=f"{manifest.wheels[0].file} is damaged"):
        unpack(folder, None)
    unpack(packed, folder)
    assert unpack(folder, None) == (folder, manifest)
    (folder / FILE).unlink()
    with pytest.raises(UserError, match="is there, and is no wheelhouse"):
        unpack(packed, folder)
    assert len(list(folder.glob("*.whl"))) == 3


def test_a_folder_without_anything_is_no_wheelhouse(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no wheelhouse: it has no manifest\.json"):
        unpack(tmp_path, None)


def test_what_a_killed_command_left_does_not_stay(packed: Path) -> None:
    left = packed / "wheelhouse.partial"
    left.mkdir()
    (left / "old-1.0-py3-none-any.whl").write_text("")
    (left / "tmp").mkdir()
    folder, _ = unpack(packed, None)
    assert not (folder / "old-1.0-py3-none-any.whl").exists()
    assert not (folder / "tmp").exists()
    shutil.rmtree(folder)


@pytest.mark.parametrize(("text", "size"), [("60M", 60_000_000), ("1.5g", 1_500_000_000), ("2000000", 2_000_000)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["60 apples", "", "10K", "-1M"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no size of at least 1M"):
        parse_size(text)
