"""Cutis: skin-image classifiers, honest by default.

The names below are loaded when they are first used, so that `import cutis` is quick and needs no
torch. The verbs of the command line are functions with the same typed arguments; `cutis export` is
`export_bundle`, `cutis models` is `list_backbones` and `cutis app` is `run_app`, since
`cutis.export`, `cutis.models` and `cutis.app` are packages, and `cutis import` is `import_photos`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cutis.cli.abstention import abstention
    from cutis.cli.app_account import app_account_add, app_account_disable, app_account_password
    from cutis.cli.app_backup import app_backup, app_restore
    from cutis.cli.app_feedback import app_feedback
    from cutis.cli.audit import audit
    from cutis.cli.catalog import catalog
    from cutis.cli.compare import compare
    from cutis.cli.demo import demo
    from cutis.cli.draw import draw
    from cutis.cli.evaluate import evaluate
    from cutis.cli.export import export as export_bundle
    from cutis.cli.import_photos import import_photos
    from cutis.cli.leak_cost import leak_cost
    from cutis.cli.models import models as list_backbones
    from cutis.cli.predict import predict
    from cutis.cli.prune import prune
    from cutis.cli.recalibrate import recalibrate
    from cutis.cli.reproduce import reproduce
    from cutis.cli.run_app import run_app
    from cutis.cli.search import search
    from cutis.cli.segment import segment
    from cutis.cli.split import split
    from cutis.cli.train import train
    from cutis.data.catalog import Catalog
    from cutis.data.splits import load_split, part_rows
    from cutis.errors import CutisError, InputError
    from cutis.recipes import Recipe, load_recipe
    from cutis.records import Part
    from cutis.runtime import PhotoAnswer, Predictor, Segmenter, answer_photo, predict_photos
    from cutis.training.run import Run, load_run

__all__ = [
    "Catalog",
    "CutisError",
    "InputError",
    "Part",
    "PhotoAnswer",
    "Predictor",
    "Recipe",
    "Run",
    "Segmenter",
    "__version__",
    "abstention",
    "answer_photo",
    "app_account_add",
    "app_account_disable",
    "app_account_password",
    "app_backup",
    "app_feedback",
    "app_restore",
    "audit",
    "catalog",
    "compare",
    "demo",
    "draw",
    "evaluate",
    "export_bundle",
    "import_photos",
    "leak_cost",
    "list_backbones",
    "load_recipe",
    "load_run",
    "load_split",
    "part_rows",
    "predict",
    "predict_photos",
    "prune",
    "recalibrate",
    "reproduce",
    "run_app",
    "search",
    "segment",
    "split",
    "train",
]

_PLACES = {
    "Catalog": "cutis.data.catalog:Catalog",
    "CutisError": "cutis.errors:CutisError",
    "InputError": "cutis.errors:InputError",
    "Part": "cutis.records:Part",
    "PhotoAnswer": "cutis.runtime:PhotoAnswer",
    "Predictor": "cutis.runtime:Predictor",
    "Recipe": "cutis.recipes:Recipe",
    "Run": "cutis.training.run:Run",
    "Segmenter": "cutis.runtime:Segmenter",
    "abstention": "cutis.cli.abstention:abstention",
    "answer_photo": "cutis.runtime:answer_photo",
    "app_account_add": "cutis.cli.app_account:app_account_add",
    "app_account_disable": "cutis.cli.app_account:app_account_disable",
    "app_account_password": "cutis.cli.app_account:app_account_password",
    "app_backup": "cutis.cli.app_backup:app_backup",
    "app_feedback": "cutis.cli.app_feedback:app_feedback",
    "app_restore": "cutis.cli.app_backup:app_restore",
    "audit": "cutis.cli.audit:audit",
    "catalog": "cutis.cli.catalog:catalog",
    "compare": "cutis.cli.compare:compare",
    "demo": "cutis.cli.demo:demo",
    "draw": "cutis.cli.draw:draw",
    "evaluate": "cutis.cli.evaluate:evaluate",
    "export_bundle": "cutis.cli.export:export",
    "import_photos": "cutis.cli.import_photos:import_photos",
    "leak_cost": "cutis.cli.leak_cost:leak_cost",
    "list_backbones": "cutis.cli.models:models",
    "load_recipe": "cutis.recipes:load_recipe",
    "load_run": "cutis.training.run:load_run",
    "load_split": "cutis.data.splits:load_split",
    "part_rows": "cutis.data.splits:part_rows",
    "predict": "cutis.cli.predict:predict",
    "predict_photos": "cutis.runtime:predict_photos",
    "prune": "cutis.cli.prune:prune",
    "recalibrate": "cutis.cli.recalibrate:recalibrate",
    "reproduce": "cutis.cli.reproduce:reproduce",
    "run_app": "cutis.cli.run_app:run_app",
    "search": "cutis.cli.search:search",
    "segment": "cutis.cli.segment:segment",
    "split": "cutis.cli.split:split",
    "train": "cutis.cli.train:train",
}


def __getattr__(name: str) -> Any:
    """Loads a public name (PEP 562); MissingDependencyError for one that needs cutis[train]."""
    if name not in _PLACES:
        raise AttributeError(f"module 'cutis' has no attribute '{name}'")
    from cutis.cli.extras import needs_training

    module, _, attribute = _PLACES[name].partition(":")
    with needs_training():
        globals()[name] = getattr(import_module(module), attribute)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
