"""How image files become rows: folders, tables of paths, and the fate of every odd file."""

from __future__ import annotations

import builtins
import csv
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from latentprobe.config import DataSpec, FileTest, parse_spec
from latentprobe.corpus import Corpus, read_corpus, read_images
from latentprobe.corpus.images import MAX_PIXELS, ImageFile, check_images, pixels
from latentprobe.errors import CorpusError, LatentprobeError, MissingExtraError, SpecError
from latentprobe.learn import units_of

RED, BLUE = (200, 10, 10), (10, 10, 200)


def picture(
    path: Path, colour: Any = RED, *, size: tuple[int, int] = (8, 6), mode: str = "RGB", **options: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of each of two classes, all different."""
    for row in range(3):
        picture(tmp_path / "set" / "red" / f"{row}.png", (200 + row, 0, 0))
        picture(tmp_path / "set" / "blue" / f"{row}.png", (0, 0, 200 + row))
    return tmp_path / "set"


def read(path: Path, **values: object) -> Corpus:
    return read_corpus(DataSpec(path=str(path), **values))


def refusal(path: Path, **values: object) -> str:
    with pytest.raises(LatentprobeError) as caught:
        read(path, **values)
    assert isinstance(caught.value, CorpusError)
    return str(caught.value)


def decoded(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    (image,) = check_images([path])
    result = pixels(image)
    assert result.mode == "RGB"
    return np.asarray(result), image.changes


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *rows])
    return path


def test_each_sub_folder_is_a_class_and_each_path_an_id(folder: Path) -> None:
    corpus = read(folder)
    assert corpus.ids == ("blue/0.png", "blue/1.png", "blue/2.png", "red/0.png", "red/1.png", "red/2.png")
    assert [corpus.target.classes[code] for code in corpus.target.y] == ["blue"] * 3 + ["red"] * 3
    assert corpus.images is not None and corpus.rows == corpus.images
    assert corpus.texts == ("",) * 6
    assert corpus.notes == ()
    assert corpus.name == "set"


def test_deeper_folders_belong_to_their_class_and_hidden_files_to_none(folder: Path) -> None:
    picture(folder / "red" / "more" / "9.png", (9, 0, 0))
    (folder / "red" / ".DS_Store").write_bytes(b"x")
    (folder / "README.md").write_text("about these images")
    assert [name for name in read(folder).ids if name.startswith("red")] == [
        "red/0.png",
        "red/1.png",
        "red/2.png",
        "red/more/9.png",
    ]


def test_a_table_names_images_relative_to_its_own_folder(folder: Path) -> None:
    rows = [(f"{name}/{row}.png", name) for row in range(3) for name in ("red", "blue")]
    corpus = read(table(folder / "rows.csv", rows), image="file")
    assert corpus.ids == tuple(name for name, _ in rows)
    assert corpus.images is not None
    assert [image.path for image in corpus.images] == [folder / name for name, _ in rows]
    assert corpus.target.classes == ("blue", "red")


def test_the_fingerprint_is_of_the_bytes_of_the_images(folder: Path) -> None:
    before = read(folder).fingerprint
    assert read(folder).fingerprint == before
    picture(folder / "red" / "0.png", (77, 7, 7))
    assert read(folder).fingerprint != before


def test_copies_of_an_image_stay_on_one_side(folder: Path) -> None:
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "0.png").read_bytes())
    corpus = read(folder)
    units = dict(zip(corpus.ids, units_of(corpus), strict=True))
    assert units["red/copy.png"] == units["red/0.png"]
    assert len(set(units.values())) == len(corpus) - 1


def test_copies_in_another_format_stay_on_one_side_too(folder: Path) -> None:
    image = Image.open(folder / "red" / "0.png")
    image.save(folder / "red" / "copy.bmp")
    image.convert("RGBA").save(folder / "red" / "again.png")
    corpus = read(folder)
    units = dict(zip(corpus.ids, units_of(corpus), strict=True))
    assert units["red/copy.bmp"] == units["red/again.png"] == units["red/0.png"]
    assert len(set(units.values())) == len(corpus) - 2


def test_a_test_folder_follows_and_its_copies_of_training_images_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, colour in (("red", (50, 0, 0)), ("blue", (0, 0, 50))):
        picture(tmp_path / "held" / name / "0.png", colour)
    corpus = read(folder, test=FileTest(path=str(tmp_path / "held")))
    assert corpus.ids[-2:] == ("test-blue/0.png", "test-red/0.png")
    assert corpus.given_test is not None and corpus.given_test.sum() == 2
    (tmp_path / "held" / "red" / "1.png").write_bytes((folder / "red" / "1.png").read_bytes())
    assert "the same image stands on both sides" in refusal(folder, test=FileTest(path=str(tmp_path / "held")))


def test_an_animated_image_gives_its_first_frame_and_a_note(folder: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, BLUE)]
    path = folder / "red" / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    values, changes = decoded(path)
    assert "animated" in changes
    assert values[0, 0, 0] > 150 and values[0, 0, 2] < 50
    assert any("several frames" in note and "red/moving.gif" in note for note in read(folder).notes)


def test_a_transparent_image_is_composited_on_white(tmp_path: Path) -> None:
    values, changes = decoded(picture(tmp_path / "a.png", (0, 0, 0, 0), mode="RGBA"))
    assert changes == ("transparent",) and (values == 255).all()
    values, _ = decoded(picture(tmp_path / "b.png", (0, 0, 0, 128), mode="RGBA"))
    assert (abs(values.astype(int) - 127) <= 1).all()
    paletted = Image.new("P", (4, 4), 0)
    paletted.putpalette([9, 9, 9, 200, 0, 0])
    paletted.save(tmp_path / "c.png", transparency=0)
    assert (decoded(tmp_path / "c.png")[0] == 255).all()


@pytest.mark.parametrize(
    ("mode", "colour", "ending", "expected"),
    [
        ("CMYK", (0, 255, 255, 0), "jpg", (255, 0, 0)),
        ("L", 90, "png", (90, 90, 90)),
        ("1", 1, "png", (255, 255, 255)),
        ("YCbCr", (90, 128, 128), "jpg", (90, 90, 90)),
        ("LA", (90, 255), "png", (90, 90, 90)),
    ],
)
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str, colour: Any, ending: str, expected: Any) -> None:
    values, _ = decoded(picture(tmp_path / f"a.{ending}", colour, mode=mode))
    assert (abs(values[0, 0].astype(int) - expected) <= 3).all()


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), RED).quantize(4).save(tmp_path / "a.png")
    values, changes = decoded(tmp_path / "a.png")
    assert changes == ("converted",) and tuple(values[0, 0]) == RED


def test_sixteen_bits_keep_their_upper_eight_and_do_not_turn_white(tmp_path: Path) -> None:
    grey = np.array([[0, 256 * 100, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    values, changes = decoded(tmp_path / "a.png")
    assert changes == ("deep", "converted")
    assert values[0, :, 0].tolist() == [0, 100, 255]


def test_an_image_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 6), RED)
    image.paste(BLUE, (0, 0, 8, 3))  # blue above red, to be turned by 90 degrees clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    values, changes = decoded(tmp_path / "a.png")
    assert changes == ("rotated",)
    assert values.shape == (8, 6, 3)
    assert tuple(values[0, 0]) == RED and tuple(values[0, 5]) == BLUE


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path.with_suffix(".jpg"))
    content = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").unlink()
    path.write_bytes(content[: len(content) // 2])


def corrupt(path: Path) -> None:
    content = bytearray(picture(path, size=(40, 40)).read_bytes())
    middle = content.index(b"IDAT") + 8
    content[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """A PNG of a few kilobytes that claims to be 60,000 x 60,000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)))


def postscript(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (truncated, "damaged or cut short"),
        (corrupt, "damaged or cut short"),
        (bomb, f"at most {MAX_PIXELS:,} pixels"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_text("label,text"), "something else in"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "something else in"),
        (postscript, "something else in"),
    ],
    ids=["truncated", "corrupt", "pixel bomb", "empty", "not an image", "only a signature", "postscript"],
)
def test_what_is_no_whole_image_is_refused_by_name(folder: Path, damage: Callable[[Path], Any], told: str) -> None:
    damage(folder / "red" / "odd.png")
    message = refusal(folder)
    assert told in message and "odd.png" in message


def test_one_pixel_more_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path / "a.png", size=(10, 10))
    monkeypatch.setattr("latentprobe.corpus.images.MAX_PIXELS", 100)
    check_images([path])
    monkeypatch.setattr("latentprobe.corpus.images.MAX_PIXELS", 99)
    with pytest.raises(CorpusError, match="at most 99 pixels"):
        check_images([path])


@pytest.mark.parametrize("name", ["../outside.png", "{outside}", "{inside}", "red/../../outside.png"])
def test_a_path_that_leaves_the_tables_folder_is_refused(folder: Path, name: str) -> None:
    outside = picture(folder.parent / "outside.png")
    named = name.format(outside=outside, inside=folder / "red" / "1.png")
    message = refusal(table(folder / "rows.csv", [(named, "a"), ("red/0.png", "b")]), image="file")
    assert "leads elsewhere" in message and "row 0" in message


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_read(folder: Path) -> None:
    (folder / "red" / "again.png").symlink_to(folder / "blue" / "0.png")
    assert "red/again.png" in read(folder).ids
    (folder / "red" / "secret.png").symlink_to(picture(folder.parent / "outside.png"))
    assert "secret.png" in refusal(folder)
    (folder / "red" / "secret.png").unlink()
    (folder / "green").symlink_to(folder / "red")
    assert "a link to a folder" in refusal(folder)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    assert "nowhere.png" in refusal(
        table(folder / "rows.csv", [("red/nowhere.png", "a"), ("red/0.png", "b")]), image="file"
    )


def test_rows_without_a_path_or_with_the_same_one_are_refused(folder: Path) -> None:
    assert "no path in row 1" in refusal(table(folder / "a.csv", [("red/0.png", "a"), ("", "b")]), image="file")
    assert "more than once" in refusal(table(folder / "b.csv", [("red/0.png", "a")] * 2), image="file")


def test_images_without_a_class_and_folders_without_images_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert "is a folder" in refusal(tmp_path / "nothing")
    picture(folder / "loose.png")
    assert "images of no class: 'loose.png'" in refusal(folder)


@pytest.mark.parametrize("key", ["image", "group", "id", "label"])
def test_a_folder_has_no_columns(folder: Path, key: str) -> None:
    assert f"{key} for" in refusal(folder, **{key: "x"})


@pytest.mark.parametrize("values", [{"text": "t"}, {"labels_path": "b.txt"}])
def test_image_and_text_exclude_each_other(values: dict[str, str]) -> None:
    spec = {"name": "x", "data": {"path": "a.csv", "image": "file"} | values, "backbones": [{"layers": [0]}]}
    with pytest.raises(SpecError, match="cannot be used") as caught:
        parse_spec(spec)
    assert "goes without `text`" in str(caught.value)


def test_a_spec_with_images_reads_back_as_itself() -> None:
    data = DataSpec(path="a.csv", image="file")
    assert data.text == ""
    assert DataSpec.model_validate(data.model_dump(mode="json")) == data


def test_an_image_that_changed_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    (image,) = check_images([picture(tmp_path / "a.png")])
    picture(tmp_path / "a.png", BLUE)
    with pytest.raises(CorpusError, match="must not change"):
        pixels(image)


def test_images_without_labels_are_read_from_a_folder_a_table_or_one_file(folder: Path) -> None:
    assert read_images(folder).keys == read(folder).ids
    named = table(folder / "rows.csv", [("red/1.png", "a"), ("red/0.png", "b")])
    assert read_images(named, image="file").keys == ("red/1.png", "red/0.png")
    one = read_images(folder / "red" / "0.png")
    assert one.keys == ("0.png",) and isinstance(one.columns["image"][0], ImageFile)


def test_a_missing_pillow_is_one_error_that_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without_pillow(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("PIL"):
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(MissingExtraError, match="needs the extra 'vision'"):
        read(folder)


# -- images in tables, as data sets of the hub have them


def png(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def rows_of_images(datasets: Any, images: list[Any], path: Path) -> Path:
    """Written by the owner of the format."""
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=["blue", "red"])})
    values = {"picture": images, "label": [row % 2 for row in range(len(images))]}
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(values, features=features).to_parquet(path)
    return path


COLOURS = [(0, 0, 200), (200, 0, 0), (0, 0, 201), (201, 0, 0)]


def test_images_in_a_parquet_file_and_in_a_data_set_of_the_hub_are_read(hub: Any, tmp_path: Path) -> None:
    images = [Image.new("RGB", (8, 6), colour) for colour in COLOURS]
    path = rows_of_images(hub, images, tmp_path / "set" / "train-00000-of-00001.parquet")
    for name in (str(path), f"hf:{path.parent}"):
        corpus = read_corpus(DataSpec(path=name, image="picture"))
        assert corpus.ids == ("0", "1", "2", "3") and corpus.images is not None
        assert [np.asarray(pixels(image))[0, 0].tolist() for image in corpus.images] == [list(c) for c in COLOURS]
        assert corpus.target.y.tolist() == [0, 1, 0, 1]
        assert len(set(units_of(corpus))) == 4
    assert read_corpus(DataSpec(path=f"hf:{path.parent}", image="picture")).target.classes == ("blue", "red")
    assert read_images(path, image="picture").keys == ("0", "1", "2", "3")


def test_an_image_folder_of_the_hub_s_layout_is_read_from_its_files(hub: Any, folder: Path) -> None:
    corpus = read_corpus(DataSpec(path=f"hf:{folder}", image="image"))
    assert corpus.images is not None and {image.path.parent.name for image in corpus.images} == {"blue", "red"}
    assert corpus.target.classes == ("blue", "red") and len(corpus) == 6


def test_odd_images_in_a_table_have_the_fates_of_files(hub: Any, tmp_path: Path) -> None:
    grey = png(Image.fromarray(np.array([[0, 25600, 65535]], np.uint16)))
    plain = Image.new("RGB", (4, 4), RED)
    contents = [grey, png(Image.new("RGBA", (4, 4), (0, 0, 0, 0))), png(plain), png(plain, "BMP")]
    cells = [{"bytes": content, "path": None} for content in contents]
    path = rows_of_images(hub, cells, tmp_path / "odd.parquet")
    corpus = read_corpus(DataSpec(path=str(path), image="picture"))
    assert corpus.images is not None
    assert [image.changes for image in corpus.images] == [("deep", "converted"), ("transparent",), (), ()]
    assert corpus.images[2].sha256 != corpus.images[3].sha256 and corpus.keys[2] == corpus.keys[3]
    half = contents[3][: len(contents[3]) // 2]
    for content, told in ((half, "damaged"), (b"", "an empty file"), (b"label,text", "something else in")):
        cells[1] = {"bytes": content, "path": "mine.png"}
        message = refusal(rows_of_images(hub, cells, tmp_path / "bad.parquet"), image="picture")
        assert told in message and "row 1 mine.png" in message


@pytest.mark.parametrize("name", ["/etc/hostname", "../outside.png", None])
def test_a_cell_without_bytes_names_a_file_beside_the_table_or_nothing(
    hub: Any, tmp_path: Path, name: str | None
) -> None:
    picture(tmp_path / "outside.png")
    picture(tmp_path / "set" / "in.png")
    cells = [{"bytes": None, "path": "in.png"}, {"bytes": None, "path": name}] * 2
    table = pa.table({"picture": pa.array(cells), "label": ["a", "b", "a", "b"]})
    pq.write_table(table, tmp_path / "set" / "rows.parquet")
    message = refusal(tmp_path / "set" / "rows.parquet", image="picture")
    assert "row 1" in message and ("leads elsewhere" in message or "neither in row 1" in message)
