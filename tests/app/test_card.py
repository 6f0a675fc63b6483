"""How to use the model and the page from elsewhere, as the page says it."""

from html import unescape

from lungfusion.app.card import about_html
from lungfusion.app.view.words import LANGUAGES

ENGLISH = LANGUAGES["en"]


def test_snippets_name_the_model_that_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("SPACE_ID", "owner/space")
    said = unescape(about_html(ENGLISH, "owner/model"))
    assert 'from_pretrained("owner/model")' in said and 'pipeline("image-classification", "owner/model")' in said
    assert 'href="https://huggingface.co/owner/model"' in said
    assert 'href="https://huggingface.co/spaces/owner/space/tree/main"' in said
    monkeypatch.delenv("SPACE_ID")
    for bundled in (None, str(tmp_path)):
        said = unescape(about_html(ENGLISH, bundled))
        assert "from_pretrained()" in said and "image-classification" not in said and "huggingface.co" not in said
