"""``reference/errors.md``: the tree of :mod:`flashdreams.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from flashdreams import errors
from reference_pages.error_examples import EXAMPLES, message
from reference_pages.markdown import (
    UndocumentedError,
    anchor,
    attribute_docs,
    cell,
    code,
    documented,
    own_doc,
    page,
    table,
)

INTRODUCTION = """\
Every mistake that a user can make is a `FlashDreamsError` with three parts: `what` is wrong, with the
value; what would be `right`; and what to do `next`. The command line prints the three under one another,
without a traceback, and ends with the exit code of the error. In Python, catch a branch of the tree for one
kind of mistake:

```python
from flashdreams.errors import ConfigError
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import toy_pipeline_config

try:
    derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=dict(windw=6)))
except ConfigError as error:
    print(type(error).__name__)
    print(error.what, error.right, error.next, sep="\\n")
```

```text
UnknownFieldError
diffusion_model.transformer.windw is no field of ToyTransformerConfig.
Did you mean 'diffusion_model.transformer.window'?
Print the config to see its fields.
```

All of them are in `flashdreams.errors`.
"""

Error = type[errors.FlashDreamsError]


def error_classes(module: ModuleType = errors) -> list[Error]:
    """Every error of the module, in the order in which it defines them."""
    found = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, errors.FlashDreamsError)]


def errors_page(module: ModuleType = errors) -> str:
    """``reference/errors.md``.

    Raises:
        UndocumentedError: An error, or an attribute of one, has no docstring.
    """
    every = error_classes(module)
    tree = "\n".join(_lines(errors.FlashDreamsError, every, 0))
    return page(
        "Errors", INTRODUCTION, f"## The tree\n\n{tree}\n", *(_section(each, every) for each in every)
    )


def _children(parent: Error, every: list[Error]) -> list[Error]:
    return [each for each in every if parent in each.__bases__]


def _lines(error: Error, every: list[Error], depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}- [`{error.__name__}`](#{anchor(error.__name__)})"
    for child in _children(error, every):
        yield from _lines(child, every, depth + 1)


def _section(error: Error, every: list[Error]) -> str:
    summary = documented(f"The error {error.__name__}", own_doc(error)).partition("\n\n")[0]
    parents = " and ".join(f"`{base.__name__}`" for base in error.__bases__)
    facts = f"Derives from {parents}; exit code {error.exit_code}." if error in every[1:] else ""
    blocks = [f"## {error.__name__}", summary, facts, _attributes(error), _example(error)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _example(error: Error) -> str:
    if error.__name__ not in EXAMPLES:
        return ""
    done, act = EXAMPLES[error.__name__]
    raised, text = message(act)
    if raised is not error:
        raise UndocumentedError(f"The example of {error.__name__} raises {raised.__name__}.")
    return f"For example, {done}:\n\n{code(text)}".rstrip()


def _attributes(error: Error) -> str:
    docs = attribute_docs(error)
    rows = [
        (f"`{name}`", cell(documented(f"{error.__name__}.{name}", docs.get(name))))
        for name in vars(error).get("__annotations__", {})
        if name != "exit_code"
    ]
    return table(("attribute", "is"), rows).rstrip() if rows else ""
