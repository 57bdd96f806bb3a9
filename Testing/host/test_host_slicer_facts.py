"""Every function that a stand-in imitates has the signature of the real one, and every behaviour is shown by a test."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from slicer_host.slicer_facts import differences, facts, stand_in_of, versions

TESTING = Path(__file__).parents[1]
STUBS = TESTING / "stubs"
EXTENSIONS = TESTING / "slicer_host" / "slicer_host" / "extensions"
# Modules that are nothing but stand-ins, with what in them is for tests alone
MODULES = ("slicer.packaging", "slicer.i18n", "slicer.ScriptedLoadableModule", "SampleData", "PyTorchUtils")
OUR_OWN = {"slicer_host.slicer_5_10:meanwhile", "SampleData:SampleDataSource"}
SIGNATURES = [(fact, version) for fact in facts() for version in fact.signatures]


@pytest.fixture
def everything(app, monkeypatch):
    """The host, and a Slicer with the extension PyTorch."""
    monkeypatch.syspath_prepend(str(EXTENSIONS))


def imitated(module_name: str) -> set[str]:
    """The functions and methods that a module of stand-ins defines, as "module:name"."""
    module = importlib.import_module(module_name)
    found = set()
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member):
            found.add(f"{module_name}:{name}")
        elif inspect.isclass(member) and f"{module_name}:{name}" not in OUR_OWN:
            methods = {
                method for method, value in vars(member).items() if callable(value) or type(value) is staticmethod
            }
            own = {method for method in methods if not method.startswith("_") or method == "__init__"}
            found |= {f"{module_name}:{name}.{method}" for method in own}
    return found


@pytest.mark.parametrize(("fact", "version"), SIGNATURES, ids=[f"{fact.id}-{version}" for fact, version in SIGNATURES])
def test_a_stand_in_takes_what_the_real_function_takes(everything, fact, version):
    assert differences(stand_in_of(fact), fact.signatures[version]) == []


def stub_signatures() -> dict[str, str]:
    """The signatures in the type stubs, by "module:name", with `...` for every default."""
    found = {}
    for path in sorted(STUBS.rglob("*.pyi")):
        module = ".".join(path.relative_to(STUBS).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found[f"{module}:{node.name}"] = arguments_of(node)
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef):
                    found[f"{module}:{node.name}.{method.name}"] = arguments_of(method)
    return found


def arguments_of(function: ast.FunctionDef) -> str:
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return f"({ast.unparse(function.args)})"


STUBBED = [fact for fact in facts() if fact.stand_in in stub_signatures()]


@pytest.mark.parametrize("fact", STUBBED, ids=lambda fact: fact.id)
def test_a_type_stub_takes_what_the_real_function_takes(fact):
    namespace: dict[str, Any] = {}
    exec(f"def stub{stub_signatures()[fact.stand_in]}: ...", namespace)
    for real in fact.signatures.values():
        found = differences(namespace["stub"], real)
        assert [one for one in found if not one.startswith("has another default")] == []


@pytest.mark.parametrize("module", [*MODULES, "slicer_host.slicer_5_10"])
def test_every_function_that_is_imitated_is_a_fact(everything, module):
    assert imitated(module) - {fact.stand_in for fact in facts()} == set()


@pytest.mark.parametrize("fact", facts(), ids=lambda fact: fact.id)
def test_a_fact_says_where_it_was_read_and_is_shown_by_a_signature_or_a_test(fact):
    assert fact.says.endswith(".")
    assert fact.read
    assert set(fact.read) <= set(versions())
    assert bool(fact.signatures and fact.stand_in) != bool(fact.test)
    if fact.test:
        file, _, name = fact.test.partition("::")
        tree = ast.parse((TESTING / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_names_of_facts_are_their_own():
    names = [fact.id for fact in facts()]
    assert sorted(set(names)) == sorted(names)


def test_a_stand_in_that_takes_more_or_less_or_in_another_way_would_be_found():
    real = "(first, second=2, *, third=None)"

    def right(first, *, third=None): ...

    def more(first, fourth=4): ...

    def less(second=2): ...

    def turned(second=2, first=1): ...

    assert differences(right, real) == []
    assert differences(more, real) == ["has no argument fourth"]
    assert differences(less, real) == ["lacks the argument first"]
    assert differences(turned, real) == [
        "has its arguments in another order: first, second, third",
        "has another default for first",
    ]
