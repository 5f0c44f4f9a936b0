"""Methods against tasks on datasets, beside baselines, with intervals and a verdict."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Lets ``pancyte.benchmark(...)`` be the function even once this folder is imported.

    Importing a folder makes it an attribute of its parent, which would hide the function.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from pancyte.benchmark.benchmark import benchmark

        return benchmark(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
