"""Whether a recipe can work on data of a kind, and whether its choices go together."""

from __future__ import annotations

from collections.abc import Sequence

from trainwell.data.dataset import AudioSchema, ImageSchema, Schema, TableSchema
from trainwell.errors import RecipeError
from trainwell.recipe import Recipe
from trainwell.techniques.augment.audio import SpecAugment
from trainwell.techniques.augment.generated import SampleMaker
from trainwell.techniques.augment.mixing import CutMix, MixUp
from trainwell.techniques.balance import Focal, LogitAdjust, Oversample, Smote
from trainwell.techniques.losses import CrossEntropy
from trainwell.techniques.models import AudioCnn, Cnn, ResNet
from trainwell.techniques.preprocess import LogMel
from trainwell.techniques.whitening import Pca, Whiten


def check_against(recipe: Recipe, schema: Schema) -> None:
    """Raise RecipeError, with every mistake, where the recipe cannot work on data of this kind."""
    mistakes = _preprocess_mistakes(recipe, schema) + _augment_mistakes(recipe, schema)
    mistakes += _loss_mistakes(recipe)
    mistakes += _model_mistakes(recipe, schema)
    if isinstance(recipe.balance, Smote) and not isinstance(schema, TableSchema):
        mistakes.append(f"balance: Smote needs a table, the data are {schema.kind}; use Oversample")
    if isinstance(recipe.balance, Oversample | Smote) and recipe.shuffle != "every_epoch":
        name = type(recipe.balance).__name__
        mistakes.append(f"shuffle: {name} makes a new order in every epoch, got {recipe.shuffle!r}")
    mistakes += _twice("augment", recipe.augment) + _twice("regularize", recipe.regularize)
    if mistakes:
        raise RecipeError("recipe", mistakes)


def _spectrogram(recipe: Recipe) -> bool:
    return any(isinstance(p, LogMel) for p in recipe.preprocess)


def _flattening(recipe: Recipe) -> str:
    """The technique that turns pictures or spectrograms into lists of numbers; "" without one."""
    found = [
        type(p).__name__
        for p in recipe.preprocess
        if isinstance(p, Pca) or (isinstance(p, Whiten) and p.kind == "pca")
    ]
    return found[0] if found else ""


def _preprocess_mistakes(recipe: Recipe, schema: Schema) -> list[str]:
    mistakes = []
    mel = [p for p in recipe.preprocess if isinstance(p, LogMel)]
    if mel and not isinstance(schema, AudioSchema):
        mistakes.append(f"preprocess: LogMel needs sound, the data are {schema.kind}")
    if mel and not isinstance(recipe.preprocess[0], LogMel):
        mistakes.append("preprocess: LogMel must come first; it reads the waveform")
    if mel and isinstance(schema, AudioSchema) and mel[0].low >= schema.rate / 2:
        top = f"{schema.rate / 2:g} Hz, half the sample rate"
        mistakes.append(f"preprocess: LogMel: low must be below {top}, got {mel[0].low:g}")
    if len(mel) > 1:
        mistakes.append("preprocess: LogMel is given twice")
    return mistakes


def _augment_mistakes(recipe: Recipe, schema: Schema) -> list[str]:
    mistakes = []
    need = {"pictures": ImageSchema, "clips": AudioSchema}
    flat = _flattening(recipe)
    for technique in recipe.augment:
        name, place = type(technique).__name__, getattr(technique, "acts_on", "features")
        if place in need and not isinstance(schema, need[place]):
            mistakes.append(f"augment: {name} needs {place}, the data are {schema.kind}")
        maps = isinstance(schema, ImageSchema) or _spectrogram(recipe)
        if isinstance(technique, CutMix) and not maps:
            mistakes.append("augment: CutMix needs pictures or spectrograms; use MixUp")
        if isinstance(technique, SpecAugment) and not _spectrogram(recipe):
            mistakes.append("augment: SpecAugment needs spectrograms: LogMel() in preprocess")
        elif isinstance(technique, CutMix | SpecAugment) and flat:
            mistakes.append(f"augment: {name} needs maps, but {flat} in preprocess flattens them")
    makers = [a for a in recipe.augment if isinstance(a, SampleMaker)]
    mistakes += [f"augment: {m}" for a in makers if (m := a.mistake(schema))]
    if makers and recipe.shuffle != "every_epoch":
        name = type(makers[0]).__name__
        mistakes.append(f"shuffle: {name} needs a new order in every epoch, got {recipe.shuffle!r}")
    if sum(isinstance(a, MixUp | CutMix) for a in recipe.augment) > 1:
        mistakes.append("augment: one of MixUp and CutMix, not both")
    return mistakes


def _model_mistakes(recipe: Recipe, schema: Schema) -> list[str]:
    name, sound = type(recipe.model).__name__, isinstance(schema, AudioSchema)
    pictures, todo = isinstance(schema, ImageSchema) or _spectrogram(recipe), "use Mlp or Linear"
    mistakes = []
    if isinstance(recipe.model, Cnn | ResNet) and not pictures:
        need = "LogMel() first in preprocess" if sound else "pictures"
        mistakes.append(f"model: {name} needs {need}, the data are {schema.kind}; {todo}")
    if isinstance(recipe.model, AudioCnn) and not _spectrogram(recipe):
        need = "LogMel() first in preprocess" if sound else "sound"
        todo = "use Cnn or ResNet" if pictures else todo
        mistakes.append(f"model: {name} needs {need}, the data are {schema.kind}; {todo}")
    flat = _flattening(recipe)
    if isinstance(recipe.model, Cnn | ResNet | AudioCnn) and flat:
        problem = f"{flat} in preprocess flattens them"
        mistakes.append(f"model: {name} needs pictures, but {problem}; use Whiten(kind='zca')")
    return mistakes


def _loss_mistakes(recipe: Recipe) -> list[str]:
    loss, mistakes = type(recipe.loss).__name__, []
    if recipe.smoothing and not recipe.loss.smooths:
        mistakes.append(f"regularize: LabelSmoothing does not go with loss={loss}()")
    if isinstance(recipe.balance, Focal) and not recipe.loss.focuses:
        mistakes.append(f"balance: Focal is a factor of CrossEntropy, got loss={loss}()")
    if isinstance(recipe.balance, LogitAdjust) and not isinstance(recipe.loss, CrossEntropy):
        mistakes.append(f"balance: LogitAdjust needs loss=CrossEntropy(), got {loss}()")
    return mistakes


def _twice(field: str, techniques: Sequence[object]) -> list[str]:
    """A mistake for every kind of technique that a field names more than once."""
    kinds = [type(t) for t in techniques]
    again = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
    return [f"{field}: {kind.__name__} is given twice" for kind in again]
