"""Which domains train, validate and test: fixed by hand, so that held out stays so."""

from __future__ import annotations

from t2s.data.synthetic.domains_culture import CULTURE
from t2s.data.synthetic.domains_held_out import TEST_DOMAINS, VAL_DOMAINS
from t2s.data.synthetic.domains_nature import NATURE
from t2s.data.synthetic.domains_work import WORK
from t2s.data.synthetic.spec import Domain

DOMAINS: dict[str, tuple[Domain, ...]] = {
    "train": (*WORK, *CULTURE, *NATURE),
    "dev": VAL_DOMAINS,
    "test": TEST_DOMAINS,
}
"""The domains of each split of the official layout (``dev`` is validation)."""
