"""The type checker that jaxtyping calls for every function of `ctm` while tests run."""

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

check = beartype(
    conf=BeartypeConf(
        # beartype sees a method without its class, in which Self means nothing
        hint_overrides=FrozenDict({Self: Any}),
        # an int is a float, as to every type checker
        is_pep484_tower=True,
        # checks draw nothing from the global random state, which tests watch
        is_random=False,
    )
)
