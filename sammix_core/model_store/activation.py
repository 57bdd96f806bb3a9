"""Which version a name means: the newest one, unless the user has activated another.

A version published by fine-tuning lies in the store unused until it is activated. Then its target and its name mean it:
after `activate("my-liver/1.1.0")`, "liver" and "my-liver" are that version.
"""

from __future__ import annotations

from sammix_core.errors import InputError
from sammix_core.model_store.active_file import is_spec, read_active, write_active
from sammix_core.model_store.base_weights import BASE_MODELS
from sammix_core.model_store.manifest import is_name
from sammix_core.model_store.store import ModelFolder, list_models, resolve, user_models_folder, verify
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS


def active_models() -> dict[str, str]:
    """The versions that the user has activated: full name by name; empty without a choice."""
    return read_active(user_models_folder())


def is_active(model: ModelFolder) -> bool:
    """Whether the model's target means this version."""
    name = default_name(model.manifest.target)
    if not any(stored.manifest.name == name for stored in list_models()) and name not in active_models():
        return False
    try:
        return resolve(name).path == model.path
    except InputError:
        return False


def default_name(target: str) -> str:
    """The name by which the model of a target is found: "right kidney" is found as "right-kidney".

    >>> default_name("Right kidney")
    'right-kidney'
    """
    return "-".join("".join(sign if sign.isalnum() else " " for sign in target.lower()).split())


def activate(spec: str) -> ModelFolder:
    """Activates a version: its target and its name mean it from then on.

    Args:
        spec: The full name, "my-liver/1.1.0"; that of a shipped model goes back to it.

    Raises:
        InputError: There is no such version, one of its files is not the one that its manifest names, it was made on
            another base model, it segments nothing by itself, or the choice cannot be written. The active version
            stays active.
    """
    if not is_spec(spec):
        raise InputError(f'{spec!r} is no full name of a model; name it with its version, as "my-liver/1.0.0".')
    model = resolve(spec)
    if not model.manifest.segments:
        raise InputError(f"{spec} refines masks and cannot be what {model.manifest.target!r} means.")
    check_usable(model)
    chosen = active_models()
    for name in {default_name(model.manifest.target), model.manifest.name}:
        if is_name(name):
            chosen[name] = model.spec
    write_active(user_models_folder(), chosen)
    return model


def check_usable(model: ModelFolder) -> None:
    """Refuses a model whose files were changed, or that was made on another base model.

    Raises:
        InputError: It cannot be used; says why.
    """
    base = model.manifest.base_model
    sha256_by_name = {name: model.sha256 for name, model in BASE_MODELS.items()}
    sha256_by_name |= {name: weights.sha256 for name, weights in THIRD_PARTY_WEIGHTS.items()}
    if sha256_by_name.get(base["name"]) != base["sha256"]:
        raise InputError(f"{model.spec} was made on another base model than the one that this version knows.")
    faults = verify(model)
    if faults:
        raise InputError(faults[0])


def outdated_note(model: ModelFolder) -> str:
    """A sentence where a model was fine-tuned from a shipped version that is no longer shipped; "" otherwise.

    Such a model works as before, but knows nothing that the newer version has learnt.
    """
    stored = list_models()
    parents = {one.spec: one.manifest.parent for one in stored}
    parent, seen = model.manifest.parent, {model.spec}
    while parent in parents and parent not in seen:
        seen.add(parent)
        parent = parents[parent]
    name = "" if parent is None else parent.split("/")[0]
    shipped = next((one for one in stored if one.shipped and one.manifest.name == name), None)
    if shipped is None or parent in parents:
        return ""
    return (
        f"{model.spec} was fine-tuned from {parent}, which {shipped.spec} has replaced. Fine-tune {shipped.spec} on "
        f"the same corrections, or go back to it with: sammix models activate {shipped.spec}."
    )
