"""What code a result rests on: words do not count, numbers do, and so do modules reached by imports."""

import ast

import pytest

from hepml_nb.core import NotFound, code_hash, imported_modules, reached_code


def test_code_hash_ignores_words_and_sees_numbers(tmp_path, monkeypatch):
    module = tmp_path / "hepml_example.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    for text in ('"""A."""\nx = 1\n', '"""B."""\n# why\nx   =  1\n', '"""A."""\nx = 2\n'):
        module.write_text(text)
        seen.append(code_hash("hepml_example"))
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("from hepml_nb.learn import DeepSet", {"hepml_nb.learn.sets"}),
        ("from hepml_nb.learn.sets import DeepSet", {"hepml_nb.learn.sets"}),
        ("import hepml_nb.learn.sets", {"hepml_nb.learn.sets"}),
        ("def f():\n    from hepml_nb import learn\n    learn.fit()", {"hepml_nb.learn.loop"}),
        ("from hepml_nb import learn as l\nl.fit(), l.pad()", {"hepml_nb.learn.loop", "hepml_nb.learn.padded"}),
        ("from hepml_nb import learn\nprint(learn)", {"hepml_nb.learn"}),
        ("import numpy, torch.nn", set()),
    ],
)
def test_imports_are_followed_to_the_module_of_a_name(text, modules):
    assert imported_modules(ast.parse(text)) == modules


def test_what_is_reached_through_others_counts_and_the_rest_does_not():
    pfn = reached_code(["hepml_nb.tagging.pfn"], ["hepml_nb.tagging", "hepml_nb.learn"])
    dnn = reached_code(["hepml_nb.tagging.dnn"], ["hepml_nb.tagging", "hepml_nb.learn"])
    assert set(pfn) == {"hepml_nb.tagging", "hepml_nb.learn"}
    assert pfn["hepml_nb.tagging"] != dnn["hepml_nb.tagging"]
    assert reached_code(["hepml_nb.core.seeds"], ["hepml_nb.tagging"]) == {}
    assert reached_code(["hepml_nb.tagging.registry"], ["hepml_nb.tagging"]) == {}


def test_an_unknown_module_is_named():
    with pytest.raises(NotFound, match=r"hepml_nb\.nothing"):
        reached_code(["hepml_nb.nothing"], ["hepml_nb"])
