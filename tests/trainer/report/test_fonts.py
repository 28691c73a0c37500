"""Letters that DejaVu Sans lacks come from a font that has them, or are named."""

import pytest

from trainer.report import fonts, style
from trainer.report.confusion import confusion_figure
from trainer.report.fonts import FIRST, Font, font_file, fonts_for


@pytest.fixture
def installed(monkeypatch):
    """Two fonts of a made-up system: one has the letters for cat and dog, one that for dog."""
    letters = {"/both.ttf": "猫犬", "/dog.ttf": "犬", fonts.first().path: "abcdefghijklmnop"}
    made = (fonts.first(), Font("Dog", "/dog.ttf"), Font("Both", "/both.ttf"))
    monkeypatch.setattr(fonts, "_installed", lambda: made)
    monkeypatch.setattr(fonts, "letters_of", lambda path: frozenset(letters.get(path, "")))
    fonts._say_missing.cache_clear()


def test_latin_greek_and_cyrillic_need_one_font():
    assert [font.family for font in fonts_for("leaf rust ελιά берёза $_-0")] == [FIRST]
    assert font_file("leaf", bold=True).endswith("DejaVuSans-Bold.ttf")
    assert style.font(13, "leaf").getlength("leaf") > 0


@pytest.mark.parametrize(
    ("text", "families"),
    [("abc", []), ("abc 犬", ["Dog"]), ("猫 犬", ["Both"]), ("a猫", ["Both"])],
)
def test_the_fewest_fonts_that_have_the_letters(installed, text, families):
    assert [font.family for font in fonts_for(text)] == [FIRST, *families]


def test_one_file_where_one_font_is_all_there_may_be(installed):
    assert font_file("a猫犬") == "/both.ttf"
    assert font_file("abc") == fonts.first().path


def test_letters_that_no_font_has_are_said_once(installed, capsys):
    for _ in range(2):
        assert [font.family for font in fonts_for("a鳥")] == [FIRST]
    said = capsys.readouterr().err
    assert said.count("鳥") == 1 and "fonts-noto-cjk" in said


def test_class_names_on_a_plot_have_all_their_fonts(installed):
    axes = confusion_figure([[0, 0, 5]], ["a", "猫"]).axes[0]
    families = {tuple(label.get_fontfamily()) for label in axes.get_yticklabels()}
    assert families == {(FIRST, "Both")}
